# SPDX-License-Identifier: Apache-2.0
"""The strength that an adviser suggests: the score of a strength, the rule, and what is to be said with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai_cl_ext.advise.spaces import RANDOM

CAUTION = (
    "This suggestion does not predict the result of training: over five strengths the rank correlation of its score "
    "with the result was -0.1 and -0.3 (ACDC, Dice after G^D and NT-Xent), 0.9 (fundus photographs) and -0.6 "
    "(RetinaMNIST, AUROC of a probe after DINO). Take it as a place to start, and compare with another strength."
)
"""Said wherever a strength is suggested; checked in docs/results/acdc_strengths.md and dino_photographs.md."""

HALF_WAY = 0.75
"""AUC between 1, where pairs are told apart without training, and 0.5, where nothing tells them apart."""

STEP = 0.05


def score(auc: float) -> float:
    """How near a task lies to half way between trivial and hopeless: 1 - |AUC - 0.75| / 0.25, at least 0.

    It is 0 at an AUC of 1, as without augmentation, where there is nothing to learn, and at 0.5 and below, where an
    untrained network finds views of one image no nearer than views of two; it is 1 at 0.75.

    Args:
        auc: of negative against positive pairs in the features of the random encoder.
    """
    return max(0.0, 1 - abs(auc - HALF_WAY) / (1 - HALF_WAY))


def suggested_strength(strengths: Sequence[float], aucs: Sequence[float]) -> float:
    """The largest strength at which the AUC is still 0.75, in steps of 0.05 rounded down, at least 0.05.

    Between two strengths the AUC is read off the line that joins them. Where it is 0.75 or more at the largest
    strength, that one.

    Args:
        strengths: in rising order, from 0.
        aucs: of each strength, see :func:`score`.
    """
    reached = [place for place, auc in enumerate(aucs) if auc >= HALF_WAY]
    last = reached[-1] if reached else 0
    if last == len(aucs) - 1:
        return float(strengths[-1])
    if not reached:
        return STEP
    (low, high), (above, below) = strengths[last : last + 2], aucs[last : last + 2]
    crossing = low + (high - low) * (above - HALF_WAY) / (above - below)
    return max(STEP, round(math.floor(crossing / STEP + 1e-9) * STEP, 2))


def reasons(strengths: Sequence[float], aucs: Sequence[float], suggested: float) -> list[str]:
    """Why this strength, in sentences."""
    rule = (
        f"Distances are those of the {RANDOM}'s features. Without augmentation the two views of an image are the same "
        "and there is nothing to learn; the stronger it is, the more views of one image look like views of two, until "
        "training has nothing to go by (Cheng et al., arXiv 2501.02451, section 2.1). The rule takes the middle: the "
        "largest strength at which a negative pair is farther apart than a positive one with a chance of "
        f"{HALF_WAY:g}, half way between certainty (1) and none (0.5)."
    )
    seen = f"From strength 0 to {strengths[-1]:g} this chance goes from {aucs[0]:.2f} to {aucs[-1]:.2f}"
    if suggested == strengths[-1] and aucs[-1] >= HALF_WAY:
        return [rule, f"{seen}. There it is still {HALF_WAY:g} or more, so the largest strength tried is suggested."]
    return [rule, f"{seen} and passes {HALF_WAY:g} at about {suggested:g}."]
