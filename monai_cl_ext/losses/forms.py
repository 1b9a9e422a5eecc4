# SPDX-License-Identifier: Apache-2.0
"""The forms of a contrastive loss, each on one tile of similarities.

A form takes the similarities over temperature of T anchors to all rows, (..., T, N), and for each pair whether it
is positive and whether it is negative (``negative=None``: every pair that is not positive). It returns the sum of its
terms and their number, and **overwrites the similarities with the gradient of that sum**: a tile holds all columns
of its anchors, so their log-sum-exp is final and nothing is recomputed in the backward pass. ``scratch`` is a buffer of
the similarities' size: allocating one for each tile takes longer on a CPU than the arithmetic.

Masked entries get ``lowest(dtype)`` instead of -inf: an anchor without candidates stays finite without a special case,
masked entries vanish when multiplied by zero, and a NaN of the input still shows.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Form(Protocol):
    """Signature of the forms that ``contrast`` takes."""

    def __call__(
        self, similarity: Tensor, positive: Tensor, negative: Tensor | None, scratch: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum of the terms and their number (int64), both scalars; ``similarity`` becomes the sum's gradient."""
        ...


def lowest(dtype: torch.dtype) -> float:
    """Finite similarity of masked entries; its exponential is zero beside any cosine over temperature."""
    return torch.finfo(dtype).min / 2


def joint(similarity: Tensor, positive: Tensor, negative: Tensor | None, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """InfoNCE and SupCon: one term per anchor with a positive; all positives and negatives share its denominator.

    l(a) = log(sum over P(a) and N(a) of e^s_ak) - mean over p in P(a) of s_ap; InfoNCE for one positive, the "out" form
    of supervised contrastive learning (Khosla et al. 2020, eq. 2) for several.
    """
    attraction = scratch.copy_(positive.view(torch.uint8))  # on a CPU ten times as fast as from bool
    positives = attraction.sum(-1, keepdim=True)
    is_anchor = positives > 0
    attraction.div_(positives.clamp_min_(1))
    if negative is not None:
        similarity.masked_fill_(~(positive | negative), lowest(similarity.dtype))
    similarity.sub_(similarity.amax(-1, keepdim=True))
    attracted = torch.dot(attraction.flatten(), similarity.flatten())
    denominator = similarity.exp_().sum(-1, keepdim=True)
    total = (denominator.log() * is_anchor).sum() - attracted
    similarity.mul_(is_anchor / denominator).sub_(attraction)
    return total, is_anchor.sum()


def pairwise(similarity: Tensor, positive: Tensor, negative: Tensor | None, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """GCL: one term per directed positive pair; its denominator holds that positive and the anchor's negatives.

    l(a, p) = log(e^s_ap + sum over N(a) of e^s_an) - s_ap (Chaitanya et al. 2020, eq. 1); 0 without negatives.
    """
    ignored = positive if negative is None else ~negative
    repulsion = scratch.copy_(similarity).masked_fill_(ignored, lowest(similarity.dtype))
    strength = repulsion.logsumexp(-1, keepdim=True)
    margin = similarity - strength
    terms = -F.logsigmoid(margin) * positive
    pull = torch.sigmoid(margin.neg_()).mul_(positive)
    torch.exp(repulsion.sub_(strength), out=similarity)
    similarity.mul_(pull.sum(-1, keepdim=True)).sub_(pull)
    return terms.sum(), positive.expand_as(terms).sum()


def groupwise(size: int) -> Form:
    """The pairwise form on rows in groups, such as the regions of a map: each positive has the negatives of its group.

    The N rows are groups of ``size`` consecutive rows, with at most one positive of an anchor in each. With G(p) for
    the group of p, and G_0(a) for the groups in which a has no positive, its own among them:

    l(a, p) = log(e^s_ap + sum over N(a) in G(p) and G_0(a) of e^s_an) - s_ap (Chaitanya et al. 2020, eq. 3).
    """

    def form(similarity: Tensor, positive: Tensor, negative: Tensor | None, scratch: Tensor) -> tuple[Tensor, Tensor]:
        masked = lowest(similarity.dtype)
        grouped = (-1, size)
        paired = positive.unflatten(-1, grouped).any(-1)
        attracted = scratch.copy_(positive.view(torch.uint8)).mul_(similarity).unflatten(-1, grouped).sum(-1)
        similarity.masked_fill_(positive if negative is None else ~negative, masked)

        groups = similarity.unflatten(-1, grouped)  # a view; its only exponential serves the terms and the gradient
        peak = groups.amax(-1)
        repulsion = groups.sub_(peak.unsqueeze(-1)).exp_().sum(-1).log_() + peak
        shared = repulsion.masked_fill(paired, masked).logsumexp(-1, keepdim=True)
        strength = torch.logaddexp(shared, repulsion)
        margin = attracted - strength
        terms = -F.logsigmoid(margin) * paired

        pull = torch.sigmoid(-margin) * paired
        pull_of_shared = (pull * (shared - strength).exp()).sum(-1, keepdim=True)
        push = torch.where(paired, pull * (peak - strength).exp(), pull_of_shared * (peak - shared).exp())
        groups.mul_(push.unsqueeze(-1))
        attraction = scratch.copy_(positive.view(torch.uint8))
        attraction.unflatten(-1, grouped).mul_(pull.unsqueeze(-1))
        similarity.sub_(attraction)
        return terms.sum(), paired.expand_as(terms).sum()

    return form
