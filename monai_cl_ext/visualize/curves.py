# SPDX-License-Identifier: Apache-2.0
"""Curves of training: loss, probe, effective rank, validation scores."""

from __future__ import annotations

import numpy as np

from monai_cl_ext.visualize.drawing import (
    COLORS,
    LINES,
    Drawing,
    legend_height,
    legend_labels,
    name_handles,
    new_figure,
    shorten,
    styled,
    wrap,
)
from monai_cl_ext.visualize.records import Curve, Record, Run

NAMES = {
    "train_loss": ("Training loss", "loss"),
    "partition_probe": ("Partition probe, held-out slices", "balanced accuracy (0 to 1)"),
    "effective_rank_score": ("Effective-rank score, held-out slices", "score (0 to 1: collapsed)"),
    "mean_dice": ("Validation during training", "mean Dice (0 to 1)"),
}
SMOOTHED_FROM = 40  # points of a curve


@styled
def draw_curves(runs: list[Run]) -> dict[str, list[Drawing]]:
    """For each stage a drawing of each scalar that was logged, with a line for each run."""
    groups: dict[tuple[str, str], dict[str, tuple[Record, Curve]]] = {}
    for run in runs:
        for stage, record in run.stages.items():
            for tag, curve in run.curves(stage).items() if record["trains"] else ():
                groups.setdefault((stage, tag), {})[run.name] = record, curve
    known = list(NAMES)
    stages = list(dict.fromkeys(stage for stage, _ in groups))
    order = sorted(groups, key=lambda key: (stages.index(key[0]), known.index(key[1]) if key[1] in known else 99))
    drawings: dict[str, list[Drawing]] = {stage: [] for stage in stages}
    for stage, tag in order:
        drawings[stage].append(_draw(stage, tag, groups[stage, tag]))
    return drawings


def _draw(stage: str, tag: str, curves: dict[str, tuple[Record, Curve]]) -> Drawing:
    title, value_name = NAMES.get(tag, (tag, wrap(shorten(tag, 78), 26)))
    figure, ((axes,),) = new_figure(2.7 + legend_height([*curves, "chance"]))
    smoothed, lines = False, []
    for number, (_, curve) in enumerate(curves.values()):
        color, style = COLORS[number % len(COLORS)], LINES[number % len(LINES)]
        steps, values = (np.array(column, dtype=np.float64) for column in zip(*curve, strict=True))
        if len(values) >= SMOOTHED_FROM:
            smoothed = True
            axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
            steps, values = _moving_mean(steps, values)
        marker = "o" if len(values) <= 20 else None
        lines += axes.plot(steps, values, style, color=color, marker=marker, markersize=3.5, linewidth=1.6)
    record = next(iter(curves.values()))[0]
    by_epoch = all(curve[-1][0] <= found["max_epochs"] for found, curve in curves.values())
    axes.set_xlabel("epoch" if by_epoch else "iteration")
    axes.set_ylabel(value_name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    partitions = record["settings"].get("partitions")
    if tag == "partition_probe" and partitions:
        lines.append(axes.axhline(1 / partitions, color="#888888", linestyle=":", linewidth=1.2))
    if tag in ("partition_probe", "effective_rank_score", "mean_dice"):
        axes.set_ylim(-0.02, 1.02)
    if len(lines) > 1:
        names, columns = legend_labels([*curves, "chance"][: len(lines)])
        name_handles(figure, lines, names, ncols=columns)
    caption = "Pale: as logged; strong: moving mean." if smoothed else ""
    return Drawing(f"curve_{stage}.{tag}", title, caption, figure)


def _moving_mean(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of a window of a tenth of the points, where the window lies within the curve."""
    window = max(3, len(values) // 10)
    middle = slice((window - 1) // 2, (window - 1) // 2 + len(values) - window + 1)
    return steps[middle], np.convolve(values, np.full(window, 1 / window), mode="valid")
