# SPDX-License-Identifier: Apache-2.0
"""Reference and prediction on the image: the best, the median and the worst volume of an evaluated run."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from monai_cl_ext.visualize.drawing import (
    COLORS,
    WIDTH,
    Drawing,
    name_handles,
    new_figure,
    shorten,
    show_image,
    styled,
)
from monai_cl_ext.visualize.records import Record
from monai_cl_ext.visualize.scores import volume_means

OPACITY = 0.55


@styled
def draw_overlays(record: dict[str, Any], rows: list[Record], run: str, name: str = "overlays") -> Drawing | None:
    """A row of image, reference and prediction for each of three volumes.

    Args:
        record: as ``handlers.OverlayRecord`` keeps it.
        rows: the run's rows of metrics.csv.
        run: name of the run.
        name: of the figure's files.

    Returns:
        The drawing; None where no volume has both a picture and a score.
    """
    means = {volume: dice for volume, dice in volume_means(rows, "dice").items() if not math.isnan(dice)}
    shown = [item for item in record["overlays"] if item["volume"] in means]
    if not shown:
        return None
    shown.sort(key=lambda item: -means[item["volume"]])
    chosen = {"best": shown[0], "median": shown[len(shown) // 2], "worst": shown[-1]}
    chosen = {rank: item for rank, item in chosen.items() if rank != "median" or len(shown) > 2}
    chosen = chosen if len(shown) > 1 else {"only volume": shown[0]}
    figure, axes = new_figure(len(chosen) * (WIDTH / 3 + 0.22) + 0.35, len(chosen), 3)
    labels: set[int] = set()
    for line, (rank, item) in zip(axes, chosen.items(), strict=True):
        aspect = item["spacing"][1] / item["spacing"][0]
        for cells, kind in zip(line, ("image", "label", "prediction"), strict=True):
            show_image(cells, item["image"], vmin=0, vmax=255, aspect=aspect)
            if kind != "image":
                labels |= set(np.unique(item[kind]).tolist()) - {0}
                show_image(cells, painted(np.asarray(item[kind])), interpolation="nearest", aspect=aspect)
        title = f"{rank}: {shorten(item['volume'], 30)}, Dice {means[item['volume']]:.2f}"
        line[0].set_title(title, fontsize=8.5, loc="left")
    for cells, title in zip(axes[-1], ("image", "reference", "prediction"), strict=True):
        cells.text(0.5, -0.04, title, fontsize=8.5, ha="center", va="top", transform=cells.transAxes)
    add_class_legend(figure, labels, record["class_names"])
    caption = (
        f"Of {len(shown)} volumes by their mean Dice; of each the slice with the largest labeled area, cut to "
        "the surroundings of the masks."
    )
    return Drawing(name, run, caption, figure, photographic=True)


def painted(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Colors (H, W, 4) of a label map, nothing where there is background."""
    palette = np.array([(0.0, 0.0, 0.0, 0.0), *(to_rgba(label_color(label), OPACITY) for label in range(1, 256))])
    return palette[labels]


def add_class_legend(figure: Figure, labels: Collection[int], names: Sequence[str] | None) -> None:
    """The colors of the labels above the axes, with the names of classes 1, 2, ... where they have such."""
    patches = {label: Patch(facecolor=label_color(label)) for label in sorted(labels)}
    if patches:
        shown = [shorten(names[label - 1], 14) if names else f"class {label}" for label in patches]
        name_handles(figure, list(patches.values()), shown, ncols=4, handlelength=1)


def label_color(label: int) -> str:
    """The color of a label from 1."""
    order = (1, 4, 3, 2, 5, 0, 6, 7)  # of the palette, by contrast to gray images
    return COLORS[order[(label - 1) % len(order)]]
