# SPDX-License-Identifier: Apache-2.0
"""Do maps belong to labeled or to unlabeled images? The two losses of an evaluator and the network that it judges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.numerics import at_least_float32


def taken_for_labelled(adversary: Adversary, maps: Tensor, image: Tensor) -> Tensor:
    """The network's loss: mean cross-entropy of the evaluator's verdict, without dropout, and "labeled".

    Args:
        adversary: such as ``networks.Evaluator``: from maps (U, K, *S) and images to logits (U, 2).
        maps, image: of unlabeled rows.
    """
    training = adversary.training
    verdict = adversary.eval()(maps, image)
    adversary.train(training)
    return _cross_entropy(verdict, labelled=len(verdict))


def told_apart(adversary: Adversary, maps: Tensor, image: Tensor, labelled: int) -> Tensor:
    """The evaluator's loss on all rows, of which the first ``labelled`` are labeled, and from which it learns."""
    maps = maps.detach()
    return adversary.learn(lambda verdict: _cross_entropy(verdict(maps, image), labelled))


def _cross_entropy(verdict: Tensor, labelled: int) -> Tensor:
    """Mean cross-entropy of verdicts (B, 2), 1 for the first ``labelled`` rows and 0 for the others."""
    kind = (torch.arange(len(verdict), device=verdict.device) < labelled).long()
    return F.cross_entropy(verdict.to(at_least_float32(verdict.dtype)), kind)
