# SPDX-License-Identifier: Apache-2.0
"""Scores of evaluated runs for each class, a dot for each volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_cl_ext.visualize.drawing import COLOURS, INK, MARKERS, Drawing, new_figure, shorten, styled
from monai_cl_ext.visualize.records import Record

ROW = 0.24  # inches


@styled
def draw_scores(scores: dict[str, list[Record]], metric: str, unit: str = "mm") -> Drawing:
    """Classes down, scores across: a dot for each volume, a line for the mean of each run.

    Args:
        scores: rows of metrics.csv by name of the run, see ``Run.scores``.
        metric: "dice" or "hd95".
        unit: of distances.
    """
    classes = classes_of(scores)
    count = len(classes) * len(scores)
    figure, ((axes,),) = new_figure(1.1 + 0.16 * ((len(scores) + 1) // 2) + ROW * (count + len(classes)))
    missed = False
    for number, (name, rows) in enumerate(scores.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        for group, label in enumerate(classes):
            chosen = [row for row in rows if row["class"] == label and not math.isnan(row[metric])]
            height = group * (len(scores) + 1) + number
            jitter = _jitter(len(chosen))
            for full in (True, False):
                part = [(row[metric], height + y) for row, y in zip(chosen, jitter, strict=True)
                        if (row["missed"] == 0) is full]  # fmt: skip
                missed = missed or bool(part and not full)
                if part:
                    face = colour if full else "none"
                    axes.scatter(*zip(*part, strict=True), s=16, marker=marker, facecolor=face, edgecolor=colour,
                                 linewidths=0.8, alpha=0.75, zorder=3)  # fmt: skip
            average = mean([row[metric] for row in chosen])
            if not math.isnan(average):
                axes.plot([average] * 2, [height - 0.42, height + 0.42], color=INK, linewidth=2, zorder=4)
                text = f"{average:.2f}" if metric == "dice" else f"{average:.1f}"
                axes.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
        axes.scatter([], [], s=22, marker=marker, color=colour, label=shorten(name, 30))
    middles = [group * (len(scores) + 1) + (len(scores) - 1) / 2 for group in range(len(classes))]
    axes.set_yticks(middles, [shorten(label, 14) for label in classes])
    axes.set_ylim(len(classes) * (len(scores) + 1) - 1.3, -0.8)
    axes.grid(axis="y", visible=False)
    axes.set_ylabel("class")
    axes.set_xlabel("Dice (1: the same)" if metric == "dice" else f"HD95 ({unit})")
    axes.set_xlim(*((-0.02, 1.02) if metric == "dice" else (0, None)))
    if len(scores) > 1:
        figure.legend(loc="outside upper center", ncols=2, fontsize=8.5)
    volumes = len({row["volume"] for rows in scores.values() for row in rows})
    caption = f"A dot for each of {volumes} test volumes; line and number: the mean over volumes." + (
        f" Hollow: prediction or reference is empty{', so HD95 is the diagonal of the volume' * (metric == 'hd95')}."
        if missed
        else ""
    )
    title = "Dice" if metric == "dice" else "HD95"
    return Drawing(f"scores_{metric}", f"{title} per class", caption, figure)


def classes_of(scores: dict[str, list[Record]]) -> list[str]:
    """The classes of all runs in the order of their files."""
    return list(dict.fromkeys(row["class"] for rows in scores.values() for row in rows))


def mean(values: Sequence[float]) -> float:
    """Mean of the values that are not nan; nan where none is left."""
    finite = [value for value in values if not math.isnan(value)]
    return sum(finite) / len(finite) if finite else math.nan


def volume_means(rows: list[Record], metric: str) -> dict[str, float]:
    """The mean over the classes of each volume."""
    volumes = dict.fromkeys(row["volume"] for row in rows)
    return {volume: mean([row[metric] for row in rows if row["volume"] == volume]) for volume in volumes}


def _jitter(count: int) -> np.ndarray[Any, Any]:
    """Heights that keep the dots of one row apart, the same each time."""
    return (np.arange(count) * 0.618 % 1 - 0.5) * 0.6
