# SPDX-License-Identifier: Apache-2.0
"""Scores over the number of labeled patients, and their differences from training from scratch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from monai_cl_ext.study.comparison import BEST, Comparison
from monai_cl_ext.visualize.drawing import Drawing, add_legend, legend_height, look, new_figure, styled, wrap

SPREAD = 0.45  # of the gap between two numbers of labeled patients: over so much of it the methods stand side by side
SIGNIFICANT = 0.05
BANDED = 6  # methods; bands of more could not be told apart


@styled
def draw_learning_curve(primary: Comparison) -> Drawing:
    """Mean score of each method with its interval; under it the paired differences where there are some.

    Args:
        primary: the methods in a metric from 0 to 1.
    """
    means, compared, title = primary.summary, primary.differences, primary.metric.title
    reference, methods = primary.reference, primary.methods
    counts = sorted(set(means["labelled"]))
    panels = 2 if len(compared) else 1
    figure, axes = new_figure(0.7 + 2.3 * panels + legend_height(methods), panels)
    _draw_lines(axes[0, 0], means, methods, counts)
    axes[0, 0].set_ylabel(f"mean {title} (0 to 1)")
    _limit(axes[0, 0], 0, 1)
    if len(compared):
        _draw_lines(axes[1, 0], compared, methods, counts)
        axes[1, 0].axhline(0, color="#888888", linewidth=1)
        axes[1, 0].set_ylabel(f"difference of {title} from\n{'the best' if reference == BEST else wrap(reference, 24)}")
        _limit(axes[1, 0], -1, 1)
    for panel in axes[:, 0]:
        panel.set_xscale("log", base=2)
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.set_xlim(counts[0] * 2**-0.5, counts[-1] * 2**0.5)
        panel.set_xlabel("labeled patients")
    add_legend(figure, methods, lines=True)
    caption = (
        "Above: means over test patients and draws of labeled patients. "
        * (panels == 2)
        + f"{'Bands and bars' if len(methods) <= BANDED else 'Bars'} are 95 % intervals, as in the tables; where "
        "nothing tells an interval there is none."
        + " Methods stand side by side so that none hides another."
        * (len(methods) > 1)
    )
    if len(compared):
        caption += (
            " Below: paired differences; a full marker is one whose p after Holm's correction is under "
            f"{SIGNIFICANT:g}, a hollow one is not."
        )
    return Drawing("learning_curve", f"{title} over labeled patients", caption, figure)


def _draw_lines(axes: Axes, table: pd.DataFrame, methods: Sequence[str], counts: Sequence[int]) -> None:
    """A line with its band for each method that the table has, all side by side about the counts."""
    gap = min(np.diff(np.log2(counts)), default=1.0)
    for number, method in enumerate(methods):
        rows = table[table["method"] == method].set_index("labelled").reindex(counts)
        if rows["mean"].isna().all():
            continue
        color, marker, line = look(number)
        shift = (number - (len(methods) - 1) / 2) * min(SPREAD * gap / len(methods), 0.06)
        places = np.array(counts) * 2.0**shift
        mean, low, high = (rows[column].to_numpy(float) for column in ("mean", "low", "high"))
        if len(methods) <= BANDED:
            axes.fill_between(places, low, high, color=color, alpha=0.1, linewidth=0)
        ends = np.nan_to_num([mean - low, high - mean])
        axes.errorbar(places, mean, ends, color=color, linestyle=line, linewidth=1.6, elinewidth=0.9)
        full = (rows["p_holm"] < SIGNIFICANT).to_numpy() if "p_holm" in rows else np.ones(len(counts), bool)
        for chosen, face in ((full, color), (~full, "white")):
            axes.plot(places[chosen], mean[chosen], marker, color=color, markerfacecolor=face, markersize=5)


def _limit(axes: Axes, low: float, high: float) -> None:
    """No further than scores go, however wide an interval is."""
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - 0.02), min(top, high + 0.02))
