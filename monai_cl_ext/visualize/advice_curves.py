# SPDX-License-Identifier: Apache-2.0
"""Measures of positive and negative pairs over the strength of a policy, and of each operation alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_cl_ext.advise import Rung
from monai_cl_ext.advise.spaces import RANDOM
from monai_cl_ext.advise.suggestion import HALF_WAY
from monai_cl_ext.visualize.drawing import (
    COLOURS,
    Drawing,
    add_legend,
    legend_height,
    look,
    new_figure,
    styled,
)

NAMES = {
    "auc": ("AUC", "AUC (0.5 to 1)"),
    "d_prime": ("d′", "d′"),
    "histogram_overlap": ("Overlap of the histograms", "shared area (0 to 1)"),
    "alignment": ("Alignment", "mean squared distance"),
    "uniformity": ("Uniformity", "log mean exp(−2 d²)"),
}
CAPTIONS = {
    "auc": "The chance that a negative pair is farther apart than a positive one. "
    f"1: all negative pairs are farther apart than all positive ones; 0.5: no difference. Dotted: {HALF_WAY:g} "
    "and the suggested strength.",
    "d_prime": "Difference of the mean distances in units of their spread. Strength 0, where no positive pair has a "
    "distance, is left out.",
    "histogram_overlap": "0: no distance that both kinds of pairs have; 1: the same histogram.",
    "alignment": "Of positive pairs. Lower: two views of an image lie nearer to each other; 0 without augmentation.",
    "uniformity": "Of negative pairs. Lower: views of two patients lie farther apart; 0: all in one place.",
}
GREY = "#777777"


@styled
def draw_measure(rungs: Sequence[Rung], measure: str, suggested: float) -> Drawing:
    """A measure over the strength, a line for each space.

    Args:
        rungs: the ladder of strengths, in rising order from 0.
        measure: its name in ``advise.comparison.MEASURES``.
        suggested: strength to mark.
    """
    title, value = NAMES[measure]
    spaces = list(rungs[0].spaces)
    shown = [rung for rung in rungs if rung.strength > 0 or measure != "d_prime"]
    figure, ((axes,),) = new_figure(2.7 + legend_height(spaces))
    for number, space in enumerate(spaces):
        colour, marker, line = look(number)
        values = [rung.spaces[space].measures[measure] for rung in shown]
        places = [rung.strength for rung in shown]
        axes.plot(places, values, line, marker=marker, markersize=4.7, linewidth=1.6, color=colour)
    if measure == "auc":
        axes.axhline(HALF_WAY, color=GREY, linestyle=":", linewidth=1.2)
        axes.axvline(suggested, color=GREY, linestyle=":", linewidth=1.2)
        axes.set_ylim(min(0.48, axes.get_ylim()[0]), 1.02)
    axes.set_xticks([rung.strength for rung in rungs], [rung.name for rung in rungs])
    axes.set_xlabel("strength")
    axes.set_ylabel(value)
    add_legend(figure, spaces, lines=True)
    return Drawing(f"measure_{measure}", f"{title} over strength", CAPTIONS[measure], figure)


@styled
def draw_operations(rungs: Sequence[Rung]) -> Drawing:
    """How much each operation alone mixes positive with negative pairs: bars of 1 - AUC, a bar for each space.

    Args:
        rungs: the operations, at full strength.
    """
    ordered = sorted(rungs, key=lambda rung: rung.spaces[RANDOM].measures["auc"])
    spaces = list(rungs[0].spaces)
    thick = 0.8 / len(spaces)
    figure, ((axes,),) = new_figure(0.8 + legend_height(spaces) + (0.14 + 0.1 * len(spaces)) * len(rungs))
    for number, space in enumerate(spaces):
        values = [1 - rung.spaces[space].measures["auc"] for rung in ordered]
        places = np.arange(len(ordered)) + (number - (len(spaces) - 1) / 2) * thick
        axes.barh(places, values, thick, color=COLOURS[number % len(COLOURS)])
    axes.set_yticks(range(len(ordered)), [rung.name for rung in ordered])
    axes.set_ylim(len(ordered) - 0.45, -0.55)
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(nbins=5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("1 − AUC")
    axes.set_ylabel("operation")
    add_legend(figure, spaces)
    caption = (
        "Each operation alone, at full strength and with its own probability: the chance that a positive pair is "
        "farther apart than a negative one; 0: the pairs stay apart, 0.5: no difference."
    )
    return Drawing("operations", "Each operation alone", caption, figure)
