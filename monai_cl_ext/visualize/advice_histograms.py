# SPDX-License-Identifier: Apache-2.0
"""Histograms of the distances of positive and negative pairs, one pair of them for each strength."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

from monai_cl_ext.advise import Rung
from monai_cl_ext.advise.measures import BINS, FARTHEST
from monai_cl_ext.visualize.drawing import COLOURS, Drawing, new_figure, styled

POSITIVE, NEGATIVE = COLOURS[0], COLOURS[1]


@styled
def draw_histograms(rungs: Sequence[Rung], space: str, name: str) -> Drawing:
    """The histograms of one space, as in Fig. 2a of Cheng et al. (arXiv 2501.02451), strengths from top to bottom.

    Args:
        rungs: strengths above 0.
        space: name of the space.
        name: of the figure's files.
    """
    figure, axes = new_figure(0.95 + 0.95 * len(rungs), len(rungs))
    edges = np.linspace(0, FARTHEST, BINS + 1)
    for panel, rung in zip(axes[:, 0], rungs, strict=True):
        found = rung.spaces[space]
        for shares, colour in ((found.positive, POSITIVE), (found.negative, NEGATIVE)):
            panel.stairs(shares, edges, fill=True, color=colour, alpha=0.45)
            panel.stairs(shares, edges, color=colour, linewidth=1.2)
        panel.set_title(f"strength {rung.name} · AUC {found.measures['auc']:.3f}", loc="left", fontsize=8.5)
        panel.set_xlim(0, FARTHEST)
        panel.set_ylim(bottom=0)
        panel.yaxis.get_major_locator().set_params(nbins=3)
        panel.tick_params(labelbottom=panel is axes[-1, 0])
    axes[-1, 0].set_xlabel("distance of two views (unit length: 0 to 2)")
    figure.supylabel("share of the pairs in a bin", fontsize=9.5)
    patches = [
        Patch(facecolor=colour, alpha=0.6, label=label)
        for colour, label in ((POSITIVE, "two views of one image"), (NEGATIVE, "views of two patients"))
    ]
    figure.legend(handles=patches, loc="outside upper center", ncols=2, fontsize=8.5, handlelength=1)
    caption = (
        f"Distances of positive and negative pairs in the space: {space}. At strength 0 the two views of an image are "
        "the same, and all positive pairs have the distance 0."
    )
    return Drawing(name, f"Distances: {space}", caption, figure)
