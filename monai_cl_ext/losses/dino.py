# SPDX-License-Identifier: Apache-2.0
"""DINO loss: cross-entropy between the teacher's and the student's outputs for different crops of an image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl_ext.losses.centered import CenteredDistillation
from monai_cl_ext.losses.plain_tensors import plain_tensors


class DINOLoss(CenteredDistillation):
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
        return self.distill([student_crops], teacher_crops, teacher_temperature)
