# SPDX-License-Identifier: Apache-2.0
"""What DINO's and DeSD's losses share: a teacher's centered and sharpened outputs as targets of a student's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.arguments import positive_integer, positive_number, probability
from monai_cl_ext.distributed import gather_integers, world_size
from monai_cl_ext.losses.crop_pairs import crop_pairs_entropy, same_shapes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import at_least_float32, without_autocast


class CenteredDistillation(nn.Module):
    """A student's outputs, at one or more levels, follow the centered outputs of its teacher.

    Args:
        out_dim: number of outputs.
        student_temperature: divides the student's logits; positive.
        center_momentum: from 0 to 1.

    Attributes:
        center: the center (1, out_dim), a buffer that starts at 0.
    """

    center: Tensor

    def __init__(self, out_dim: int, student_temperature: float = 0.1, center_momentum: float = 0.9) -> None:
        super().__init__()
        self.student_temperature = positive_number("student_temperature", student_temperature)
        self.center_momentum = probability("center_momentum", center_momentum)
        self.register_buffer("center", torch.zeros(1, positive_integer("out_dim", out_dim)))

    def distill(
        self, levels: Sequence[Sequence[Tensor]], teacher_crops: Sequence[Tensor], teacher_temperature: float | Tensor
    ) -> Tensor:
        """The mean over the levels of the mean over pairs of crops; afterwards, in training, the center moves once.

        Args:
            levels: of each level the logits of all crops, each (B, out_dim), with gradient.
            teacher_crops: logits of the first of these crops, each (B, out_dim); no gradient passes.
            teacher_temperature: a positive number, or a tensor of one, which stays on its device.

        Raises:
            ValueError: when shapes do not fit, no pair is left, or a temperature that is no tensor is not positive.
        """
        for student_crops in levels:
            self._check(student_crops, teacher_crops)
        if not isinstance(teacher_temperature, Tensor):
            positive_number("teacher_temperature", teacher_temperature)
        images = sum(gather_integers(len(teacher_crops[0]), teacher_crops[0].device))
        with without_autocast(teacher_crops[0].device):
            outputs = [crop.detach().to(at_least_float32(crop.dtype)) for crop in teacher_crops]
            targets = [self._target(output, teacher_temperature) for output in outputs]
            found = [crop_pairs_entropy(crops, targets, self.student_temperature, images) for crops in levels]
            if self.training and images:
                self._move_center(outputs, images)
            return torch.stack(found).mean()

    @plain_tensors
    @torch.no_grad()
    def teacher_entropy(self, teacher_crops: Sequence[Tensor], teacher_temperature: float | Tensor) -> Tensor:
        """Mean entropy of the targets over that of the uniform distribution, a scalar from 0 to 1.

        At 1 the targets say nothing, at 0 each is a single output; towards either end the outputs collapse (Caron et
        al. 2021, figure 7). Of this process's rows.

        Args:
            teacher_crops, teacher_temperature: as in the loss.
        """
        with without_autocast(teacher_crops[0].device):
            outputs = torch.cat([crop.to(at_least_float32(crop.dtype)) for crop in teacher_crops])
            entropy = torch.special.entr(self._target(outputs, teacher_temperature)).sum(dim=1).mean()
            return entropy / math.log(outputs.shape[1])

    def _target(self, output: Tensor, temperature: float | Tensor) -> Tensor:
        """Centered and sharpened distribution of a teacher's logits."""
        return F.softmax((output - self.center) / temperature, dim=-1)

    @torch.no_grad()
    def _move_center(self, outputs: Sequence[Tensor], images: int) -> None:
        """Moves the center towards the mean of the teacher's outputs for the images of all processes."""
        total = torch.cat(list(outputs)).sum(0, keepdim=True)
        if world_size() > 1:
            dist.all_reduce(total)
        self.center.lerp_((total / (images * len(outputs))).to(self.center.dtype), 1 - self.center_momentum)

    def _check(self, student_crops: Sequence[Tensor], teacher_crops: Sequence[Tensor]) -> None:
        if not 1 <= len(teacher_crops) <= len(student_crops) or len(student_crops) < 2:
            raise ValueError(
                "expected two student crops or more, of which the teacher saw the first, found"
                f" {len(student_crops)} student crops and {len(teacher_crops)} teacher crops"
            )
        crops = [*student_crops, *teacher_crops]
        if not same_shapes(crops, self.center.shape[1]):
            raise ValueError(
                f"every crop must be (B, {self.center.shape[1]}) with the same B, found"
                f" {sorted({tuple(crop.shape) for crop in crops})}: give the loss the out_dim of the head, and all"
                " crops of the same images"
            )
