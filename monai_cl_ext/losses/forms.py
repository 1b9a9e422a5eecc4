# SPDX-License-Identifier: Apache-2.0
"""The two forms of a contrastive loss, each on one tile of similarities.

A form takes the similarities over temperature of some anchors to all rows, (..., T, N), and for each pair whether it
is positive and whether it is negative (``negative=None``: every pair that is not positive). It returns the sum of its
terms and their number, and **leaves the gradient of that sum in place of the similarities**: a tile holds all columns
of its anchors, so their log-sum-exp is final and nothing has to be computed again in the backward pass. ``scratch``
is memory to work in, as large as the similarities: on a CPU new memory for each tile takes longer than the arithmetic.

Who takes no part has the similarity ``lowest(dtype)`` instead of -inf. Thus an anchor without any candidate stays
finite, with no case of its own, and what is weighted with zero vanishes, while a NaN of the input still shows.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Form(Protocol):
    """What ``contrast`` asks of a form."""

    def __call__(
        self, similarity: Tensor, positive: Tensor, negative: Tensor | None, scratch: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum of the terms and their number (int64), both scalars; ``similarity`` becomes the sum's gradient."""
        ...


def lowest(dtype: torch.dtype) -> float:
    """A finite similarity so low that its exponential is zero beside any cosine over temperature."""
    return torch.finfo(dtype).min / 2


def joint(similarity: Tensor, positive: Tensor, negative: Tensor | None, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """One term for each anchor that has a positive; positives and negatives share its denominator.

    l(a) = log(sum over P(a) and N(a) of e^s_ak) - mean over p in P(a) of s_ap; InfoNCE for one positive, the "out" form
    of supervised contrast (Khosla et al. 2020, eq. 2) for several.
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
    """One term for each directed positive pair; its denominator holds that positive and the anchor's negatives alone.

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
