# SPDX-License-Identifier: Apache-2.0
"""Average ranks of methods over patients, and which of them Nemenyi's test does not tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.statistics import average_ranks
from monai_cl_ext.visualize.drawing import INK, WIDTH, Drawing, new_figure, styled, wrap
from monai_cl_ext.visualize.wording import counted, p_text

NAME_WIDTH = 17  # characters of a method's name in one line
LINE, GAP, TOP = 0.15, 0.09, 0.95  # inches: a line of text, between names, above the axis and its name
MARGIN = 1.3  # inches beside the axis, where the names stand


@styled
def draw_critical_difference(dice: Comparison, labelled: int) -> Drawing | None:
    """The diagram of Demsar (2006, JMLR 7) at one number of labeled patients, for scores that are better when higher.

    Args:
        dice: the methods in Dice.
        labelled: the number.

    Returns:
        The drawing; None where there are fewer than three methods or two patients with scores of all.
    """
    rows = dice.patient_table[(dice.patient_table["labelled"] == labelled) & dice.patient_table["value"].notna()]
    wide = rows.pivot(index=["draw", "patient"], columns="method", values="value")
    complete = wide[list(dict.fromkeys(rows["method"]))].dropna()
    values = complete.groupby(level="patient").mean()
    if values.shape[0] < 2 or values.shape[1] < 3:
        return None
    found = average_ranks(values.to_numpy())
    ranks = pd.Series(found.ranks, values.columns).sort_values(kind="stable")
    groups = not_told_apart(ranks.tolist(), found.critical_difference)
    names = {method: wrap(f"{method} {rank:.2f}", NAME_WIDTH) for method, rank in ranks.items()}
    left, right = list(ranks.index[: (len(ranks) + 1) // 2]), list(ranks.index[(len(ranks) + 1) // 2 :][::-1])
    heights = [sum((names[method].count("\n") + 1) * LINE + GAP for method in side) for side in (left, right)]
    bars = 0.16 + 0.1 * len(groups)
    height = TOP + bars + max(heights) + 0.1
    figure, ((axes,),) = new_figure(height)
    figure.set_layout_engine("none")
    axes.set_position((MARGIN / WIDTH, 0, 1 - 2 * MARGIN / WIDTH, 1 - TOP / height))
    _draw_axis(axes, len(ranks), found.critical_difference, height - TOP)
    for side, methods in (("left", left), ("right", right)):
        depth = bars
        for method in methods:
            lines = names[method].count("\n") + 1
            _draw_name(axes, side, float(ranks[method]), depth + lines * LINE / 2, names[method])
            depth += lines * LINE + GAP
    for number, (first, last) in enumerate(groups):
        axes.plot([first - 0.04, last + 0.04], [0.12 + 0.1 * number] * 2, color=INK, linewidth=3.2)
    p_value = p_text(found.p_value) or "no p, as all are equal in every patient"
    caption = (
        f"Ranks by Dice within each of {len(values)} patients, means over draws; Friedman's test that all methods "
        f"rank alike: {p_value}. A thick bar joins methods that Nemenyi's test does not tell apart at the level of "
        "5 %. Ranks and tests treat the draws of labeled patients as fixed: other draws may rank the methods "
        "otherwise, and only the tables' intervals hold for them."
    )
    title = f"Average ranks with {counted(labelled, 'labeled patient')}"
    return Drawing(f"critical_difference_labelled_{labelled}", title, caption, figure)


def not_told_apart(ranks: Sequence[float], critical_difference: float) -> list[tuple[float, float]]:
    """First and last rank of each largest group whose ranks differ by less than the critical difference.

    Args:
        ranks: in rising order.
        critical_difference: of two ranks that are told apart.
    """
    groups: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(index for index, rank in enumerate(ranks) if rank - ranks[first] < critical_difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return [(ranks[first], ranks[last]) for first, last in groups]


def _draw_axis(axes: Axes, methods: int, critical_difference: float, depth: float) -> None:
    """Ranks along the top, the critical difference above them; the other axis counts inches downwards."""
    axes.set_xlim(1, methods)
    axes.set_ylim(depth, 0)
    axes.set_xlabel("average rank (1: best)")
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.set_xticks(range(1, methods + 1, 1 if methods <= 8 else 2))
    axes.yaxis.set_visible(False)
    axes.grid(visible=False)
    for side, shown in (("top", True), ("left", False), ("bottom", False)):
        axes.spines[side].set_visible(shown)
    ruler, end = -0.55, 1 + critical_difference
    axes.plot([1, end], [ruler, ruler], color=INK, linewidth=1.2, marker="|", markersize=6, clip_on=False)
    axes.text((1 + end) / 2, ruler - 0.1, f"critical difference {critical_difference:.2f}", ha="center", fontsize=8.5)


def _draw_name(axes: Axes, side: str, rank: float, depth: float, name: str) -> None:
    """A stem from the rank down and out to the margin, where the name and the rank stand."""
    low, high = axes.get_xlim()
    edge = low if side == "left" else high
    shift = (high - low) * 0.02 * (-1 if side == "left" else 1)
    axes.plot([rank, rank, edge + shift], [0, depth, depth], color=INK, linewidth=0.9, clip_on=False)
    align = "right" if side == "left" else "left"
    axes.text(edge + 2 * shift, depth, name, ha=align, va="center", fontsize=8)
