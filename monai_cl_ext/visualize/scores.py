# SPDX-License-Identifier: Apache-2.0
"""Scores of evaluated runs for each class, a dot for each volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.visualize.drawing import INK, Drawing, add_legend, legend_height, look, new_figure, shorten, styled
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
    figure, hollow = draw_dots(scores, metric, unit)
    volumes = len({row["volume"] for rows in scores.values() for row in rows})
    caption = f"A dot for each of {volumes} volumes; line and number: the mean over volumes." + (
        f" Hollow: prediction or reference is empty{', so HD95 is the diagonal of the volume' * (metric == 'hd95')}."
        if hollow
        else ""
    )
    return Drawing(f"scores_{metric}", f"{METRICS[metric].title} per class", caption, figure)


def draw_dots(scores: dict[str, list[Record]], metric: str, unit: str) -> tuple[Figure, bool]:
    """Classes down, scores across: a dot for each row, hollow where "missed" is not 0, and a line for their mean.

    Args:
        scores: rows with "class", the metric and "missed", by what a color and marker stands for.
        metric: "dice" or "hd95".
        unit: of distances.

    Returns:
        The figure, and whether a dot of it is hollow.
    """
    classes, names = classes_of(scores), list(scores)
    height = 1.0 + ROW * len(classes) * (len(names) + 1) + (legend_height(names) if len(names) > 1 else 0)
    figure, ((axes,),) = new_figure(height)
    for number, rows in enumerate(scores.values()):
        for group, label in enumerate(classes):
            chosen = [row for row in rows if row["class"] == label and not math.isnan(row[metric])]
            _draw_row(axes, group * (len(names) + 1) + number, number, chosen, metric)
    middles = [group * (len(names) + 1) + (len(names) - 1) / 2 for group in range(len(classes))]
    axes.set_yticks(middles, [shorten(label, 14) for label in classes])
    axes.set_ylim(len(classes) * (len(names) + 1) - 1.3, -0.8)
    axes.grid(axis="y", visible=False)
    axes.set_ylabel("class")
    known = METRICS[metric]
    axes.set_xlabel(known.label(unit) if known.unit else f"{known.title} (1: the same)")
    axes.set_xlim(*((0, None) if known.unit else (-0.02, 1.02)))
    if len(names) > 1:
        add_legend(figure, names)
    return figure, any(row["missed"] != 0 and not math.isnan(row[metric]) for rows in scores.values() for row in rows)


def _draw_row(axes: Axes, height: float, number: int, rows: list[Record], metric: str) -> None:
    """The dots of one class and run about a height, their mean as a line and as a number at the right."""
    color, marker, _ = look(number)
    for full in (True, False):
        part = [(row[metric], height + y) for row, y in zip(rows, _jitter(len(rows)), strict=True)
                if (row["missed"] == 0) is full]  # fmt: skip
        if part:
            face = color if full else "none"
            places, heights = zip(*part, strict=True)
            axes.scatter(places, heights, s=16, marker=marker, facecolor=face, edgecolor=color,
                         linewidths=0.8, alpha=0.75, zorder=3)  # fmt: skip
    average = mean([row[metric] for row in rows])
    if not math.isnan(average):
        axes.plot([average] * 2, [height - 0.42, height + 0.42], color=INK, linewidth=2, zorder=4)
        text = f"{average:.{min(METRICS[metric].digits, 2)}f}"
        axes.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)


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
