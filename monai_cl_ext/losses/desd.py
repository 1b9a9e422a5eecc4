# SPDX-License-Identifier: Apache-2.0
"""DeSD loss: the student's outputs at several depths follow the teacher's deepest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl_ext.losses.centered import CenteredDistillation
from monai_cl_ext.losses.plain_tensors import plain_tensors


class DeSDLoss(CenteredDistillation):
    """Deep self-distillation (Ye et al., "DeSD", MICCAI 2022): the mean over levels of :class:`DINOLoss`.

    Every level of the student has the same targets, the outputs of the teacher's deepest one. There is one center,
    which moves once after each call in training mode. Center and mean span the images of all processes, as in
    ``DINOLoss``.

    Args:
        out_dim: number of outputs of each level.
        student_temperature: divides the student's logits; positive.
        center_momentum: from 0 to 1.

    Attributes:
        center: the center (1, out_dim), a buffer that starts at 0.
    """

    @plain_tensors
    def forward(
        self, student: Sequence[Sequence[Tensor]], teacher: Sequence[Tensor], teacher_temperature: float | Tensor
    ) -> Tensor:
        """Mean loss over levels, images and pairs of crops, a scalar of float32 or float64.

        Args:
            student: of each level the logits of all crops, each (B, out_dim), with gradient.
            teacher: logits of the first of these crops at the deepest level, each (B, out_dim); no gradient passes.
            teacher_temperature: a positive number, or a tensor of one, which stays on its device.

        Raises:
            ValueError: when there is no level, shapes do not fit, no pair is left, or a temperature that is no tensor
                is not positive.
        """
        if not student:
            raise ValueError("expected the student's crops of one level or more, found none: give a list of levels")
        return self.distill(student, teacher, teacher_temperature)
