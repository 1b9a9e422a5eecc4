# SPDX-License-Identifier: Apache-2.0
"""DINO loss: cross-entropy between the teacher's and the student's outputs for different crops of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.arguments import positive_integer, positive_number, probability
from monai_cl_ext.distributed import row_counts, world_size
from monai_cl_ext.losses.kernel import mean_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import at_least_float32, without_autocast


class DINOLoss(nn.Module):
    """Self-distillation without labels (Caron et al., "Emerging properties in self-supervised vision transformers").

    With logits s_v of student crop v and t_q of teacher crop q, center c, and temperatures T_s and T_t:

        p_q = softmax((t_q - c) / T_t)
        loss = mean over images and over all (q, v) with q != v of -sum over outputs of p_q log softmax(s_v / T_s)

    The teacher's crops are the first ones of the student's list; a crop is never paired with itself. After each call in
    training mode the center moves to center_momentum * c + (1 - center_momentum) * mean of all teacher rows.

    Over several processes the center takes the mean over the rows of all, and each process returns its part of the mean
    over the images of all, as in :func:`~monai_cl_ext.losses.contrast`.

    Args:
        out_dim: number of outputs.
        student_temperature: T_s; positive.
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

    @plain_tensors
    def forward(
        self, student_crops: Sequence[Tensor], teacher_crops: Sequence[Tensor], teacher_temperature: float | Tensor
    ) -> Tensor:
        """Mean loss over images and pairs of crops, a scalar of float32 or float64; 0 where no process has an image.

        Args:
            student_crops: logits of all crops, each (B, out_dim), with gradient.
            teacher_crops: logits of the first of these crops, each (B, out_dim); no gradient passes.
            teacher_temperature: T_t, a positive number, or a tensor of one, which stays on its device.

        Raises:
            ValueError: when shapes do not fit, no pair is left, or a temperature that is no tensor is not positive.
        """
        self._check(student_crops, teacher_crops)
        if not isinstance(teacher_temperature, Tensor):
            positive_number("teacher_temperature", teacher_temperature)
        images = sum(row_counts(len(student_crops[0]), student_crops[0].device))
        pairs = len(teacher_crops) * (len(student_crops) - 1)
        with without_autocast(student_crops[0].device):
            outputs = [_precise(crop.detach()) for crop in teacher_crops]
            targets = [F.softmax((output - self.center) / teacher_temperature, dim=-1) for output in outputs]
            total = student_crops[0].new_zeros((), dtype=outputs[0].dtype)
            whole = torch.stack(targets).sum(0)
            for index, crop in enumerate(student_crops):
                others = [target for number, target in enumerate(targets) if number != index]
                if others:  # the sum of the cross-entropies with each of them; local crops share one target in memory
                    target = whole if len(others) == len(targets) else torch.stack(others).sum(0)
                    logits = _precise(crop) / self.student_temperature
                    total = total + F.cross_entropy(logits, target, reduction="sum")
            if self.training and images:
                self._move_center(outputs, images)
        return mean_over_processes(total, total.new_full((), pairs * images, dtype=torch.int64))

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
        shapes = {tuple(crop.shape) for crop in [*student_crops, *teacher_crops]}
        if len(shapes) > 1 or {shape[1:] for shape in shapes} != {tuple(self.center.shape[1:])}:
            raise ValueError(
                f"every crop must be (B, {self.center.shape[1]}) with the same B, found {sorted(shapes)}: give the loss"
                " the out_dim of the head, and all crops of the same images"
            )


def _precise(logits: Tensor) -> Tensor:
    return logits.to(at_least_float32(logits.dtype))
