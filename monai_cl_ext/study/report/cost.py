# SPDX-License-Identifier: Apache-2.0
"""What a network costs against how well it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from monai_cl_ext.visualize.drawing import Drawing, add_legend, legend_height, look, new_figure, styled

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
WIDE_RANGE = 20  # largest over smallest time from which the axis is logarithmic
SMALLEST, GROWTH = 18, 26  # area of a marker in points², and what each larger number of labeled patients adds


@styled
def draw_cost(costs: pd.DataFrame, means: pd.DataFrame, methods: Sequence[str], title: str) -> Drawing | None:
    """Mean score over the time to one network; larger markers have more labeled patients.

    Args:
        costs: see ``cost_records.network_costs``.
        means: of a metric from 0 to 1, see ``Comparison.summary``.
        methods: all methods of the study, in their order.
        title: of the metric.

    Returns:
        The drawing; None where no time is known.
    """
    table = means.merge(costs, on=["method", "labelled"]).dropna(subset=["mean", "seconds"])
    if table.empty:
        return None
    longest = table["seconds"].max()
    unit, seconds = next((item for item in UNITS if longest >= 2 * item[1]), UNITS[-1])
    counts = sorted(set(table["labelled"]))
    sizes = {count: SMALLEST + GROWTH * number for number, count in enumerate(counts)}
    figure, ((axes,),) = new_figure(3.3 + legend_height(methods))
    for number, method in enumerate(methods):
        rows = table[table["method"] == method].sort_values("labelled")
        color, marker, line = look(number)
        times = rows["seconds"] / seconds
        axes.plot(times, rows["mean"], line, color=color, linewidth=1, alpha=0.6)
        axes.scatter(times, rows["mean"], s=rows["labelled"].map(sizes), marker=marker, color=color, linewidths=0)
    if longest > WIDE_RANGE * table["seconds"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # matplotlib's own writes its powers in math text
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, longest / seconds * 1.08)
    axes.set_xlabel(f"time to one network, pre-training included ({unit})")
    axes.set_ylabel(f"mean {title} (0 to 1)")
    if len(counts) > 1:
        handles = [Line2D([], [], linestyle="none", marker="o", color="#888888", markersize=size**0.5)
                   for size in sizes.values()]  # fmt: skip
        names = [f"{count}" for count in counts]
        figure.legend(
            handles, names, loc="outside lower center", fontsize=8.5, title="labeled patients", title_fontsize=8.5,
            ncols=len(names),
        )  # fmt: skip
    add_legend(figure, methods)
    caption = (
        "Time of one fine-tuning with its predictions, and of all that it needs: the whole pre-training, though that "
        "serves every fine-tuning of its method, and the choice of a learning rate where there was one."
    )
    return Drawing("cost", "Cost against accuracy", caption, figure)
