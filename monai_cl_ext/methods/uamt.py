# SPDX-License-Identifier: Apache-2.0
"""UA-MT: Mean Teacher that follows the teacher where it is certain."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, whole_number
from monai_cl_ext.losses import UncertaintyMaskedConsistencyLoss, uncertainty_threshold
from monai_cl_ext.methods.mean_teacher import MeanTeacher
from monai_cl_ext.types import Losses


class UAMT(MeanTeacher):
    """UA-MT (Yu et al., MICCAI 2019): a Mean Teacher whose student learns nothing where the teacher is uncertain.

    The teacher's uncertainty is the entropy of its mean probabilities over several passes, each with noise and dropout
    of its own; the student follows one more pass. The threshold of the uncertainty rises over the training, see
    ``losses.uncertainty_threshold``. Without dropout in the network the noise alone makes the passes differ.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S), the student.
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        threshold_steps: steps until the threshold has its largest value, in the release those of the whole training.
        consistency_weight: of the squared differences; ramp it up.
        momentum: of the teacher's parameters.
        noise: standard deviation of the noise.
        passes: of the teacher, for its uncertainty.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        threshold_steps: int,
        consistency_weight: float = 0.1,
        momentum: float = 0.99,
        noise: float = 0.1,
        passes: int = 8,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight, momentum, noise, teacher_dropout=True)
        self.threshold_steps = whole_number("threshold_steps", threshold_steps)
        self.passes = positive_integer("passes", passes)
        self.masked_consistency = UncertaintyMaskedConsistencyLoss()

    def agreement(self, student: Tensor, image: Tensor) -> Losses:
        """The consistency where the teacher is certain, and the share of these voxels."""
        threshold = uncertainty_threshold(self.iteration, self.threshold_steps)
        teacher, uncertainty = self.taught(image), self.uncertainty(image)
        consistency = self.masked_consistency(student, teacher, uncertainty, threshold)
        return {"consistency": consistency, "certain": (uncertainty < threshold).to(student.dtype).mean()}

    def uncertainty(self, image: Tensor) -> Tensor:
        """Entropy (B, 1, *S) of the teacher's mean probabilities over its passes, in nats."""
        mean = reduce(torch.add, (self.taught(image) for _ in range(self.passes))) / self.passes
        return -(mean * (mean + 1e-6).log()).sum(1, keepdim=True)
