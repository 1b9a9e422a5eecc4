# SPDX-License-Identifier: Apache-2.0
"""Mean Teacher: the student agrees with an EMA teacher on unlabeled images."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.arguments import probability, weight
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.networks.teacher import MomentumTeacher
from monai_cl_ext.numerics import probabilities
from monai_cl_ext.types import Losses, Tags, View


class MeanTeacher(SemiSupervised):
    """Mean Teacher (Tarvainen and Valpola 2017) for segmentation.

    The student's probabilities on unlabeled images follow, by mean squared error, those of its EMA teacher, which sees
    the images with Gaussian noise, clipped at two standard deviations. The momentum of step n, from 0, is
    min(1 - 1 / (n + 1), momentum). The teacher normalizes by the statistics of its batch.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S), the student.
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the squared error; ramp it up, since full weight from the start ruins the training.
        momentum: of the teacher's parameters.
        noise: standard deviation of the noise.
        teacher_dropout: the teacher drops what the network drops in training, as in SSL4MIS; by default it drops
            nothing.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        consistency_weight: float = 0.1,
        momentum: float = 0.99,
        noise: float = 0.1,
        teacher_dropout: bool = False,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        self.teacher = MomentumTeacher(copy.deepcopy(network), dropout=teacher_dropout)
        self.momentum = probability("momentum", momentum)
        self.noise = weight("noise", noise)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised loss, the consistency on unlabeled rows and their weighted sum."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        maps = maps_of(self.network(rows.image), rows.image)
        supervised = supervised_loss(self.loss, [logits[:count] for logits in maps], rows.label)
        parts = self.agreement(probabilities(maps[0][count:]), rows.unlabelled)
        return self.weighted(supervised, **parts)

    def agreement(self, student: Tensor, image: Tensor) -> Losses:
        """The consistency of the student's probabilities (U, classes, *S) with what the teacher says of the images."""
        return {"consistency": F.mse_loss(student, self.taught(image))}

    def taught(self, image: Tensor) -> Tensor:
        """The teacher's probabilities (U, classes, *S) of the images under noise of their own."""
        return probabilities(maps_of(self.teacher(self.noisy(image)), image)[0])

    def noisy(self, image: Tensor) -> Tensor:
        """The images with noise."""
        return image + (self.noise * torch.randn_like(image)).clamp(-2 * self.noise, 2 * self.noise)

    def after_step(self) -> None:
        """Moves the teacher towards the student."""
        self.teacher.update(self.network, min(1 - 1 / (self.iteration + 1), self.momentum))
