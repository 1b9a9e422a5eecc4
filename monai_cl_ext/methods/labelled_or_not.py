# SPDX-License-Identifier: Apache-2.0
"""Do maps belong to labeled or to unlabeled images? An evaluator, and a network that it judges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.numerics import at_least_float32


class LabelledOrNot(SemiSupervised):
    """What DAN and SASSNet share: the losses of an evaluator and of the network that it judges.

    Attributes:
        adversary: such as ``networks.Evaluator``, with its optimizer: from maps (B, K, *S) and images to logits (B, 2)
            of "unlabeled" and "labeled".
    """

    adversary: Adversary

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """That of the evaluator."""
        return {"evaluator": self.adversary.optimizer}

    def taken_for_labelled(self, maps: Tensor, image: Tensor) -> Tensor:
        """The network's loss: mean cross-entropy of the evaluator's verdict, without dropout, and "labeled".

        Args:
            maps, image: of unlabeled rows.
        """
        modes = {module: module.training for module in self.adversary.modules()}
        try:  # not by MONAI's eval_mode, which computes no gradient
            verdict = self.adversary.eval()(maps, image)
        finally:
            for module, mode in modes.items():
                module.training = mode
        return _cross_entropy(verdict, labelled=len(verdict))

    def told_apart(self, maps: Tensor, image: Tensor) -> Tensor:
        """The evaluator's loss on all rows, from which it learns; no gradient passes to the maps."""
        maps = maps.detach()
        return self.adversary.learn(lambda verdict: _cross_entropy(verdict(maps, image), self.labelled_per_batch))

    def after_step(self) -> None:
        """Moves the evaluator."""
        self.adversary.step()


def _cross_entropy(verdict: Tensor, labelled: int) -> Tensor:
    """Mean cross-entropy of verdicts (B, 2), 1 for the first ``labelled`` rows and 0 for the others."""
    kind = (torch.arange(len(verdict), device=verdict.device) < labelled).long()
    return F.cross_entropy(verdict.to(at_least_float32(verdict.dtype)), kind)
