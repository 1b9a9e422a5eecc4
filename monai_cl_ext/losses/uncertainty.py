# SPDX-License-Identifier: Apache-2.0
"""Consistency where a teacher is certain."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from monai_cl_ext.distributed import sum_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.ramp_up import sigmoid_ramp_up
from monai_cl_ext.numerics import at_least_float32

SMOOTH = 1e-16


def uncertainty_threshold(step: float, length: float) -> float:
    """(0.75 + 0.25 r) ln 2 with the ramp-up r of ``sigmoid_ramp_up(step, length)`` (Yu et al. 2019, UA-MT).

    ln 2 is the largest entropy of two classes; the release keeps it for four.

    Args:
        step: steps made so far, from 0.
        length: steps until the threshold is ln 2.

    Raises:
        ValueError: when one of the two is negative.
    """
    return (0.75 + 0.25 * sigmoid_ramp_up(step, length)) * log(2)


class UncertaintyMaskedConsistencyLoss(nn.Module):
    """A student follows its teacher in voxels where the teacher is certain (UA-MT; Yu et al. 2019).

    With a mask of the voxels whose uncertainty is below the threshold, the squared differences of the probabilities,
    summed over classes and masked voxels, over twice the number of these voxels, as in the release. With an empty mask
    it is 0. The teacher gets no gradient. Over several processes the sums are those of all of them.
    """

    @plain_tensors
    def forward(self, student: Tensor, teacher: Tensor, uncertainty: Tensor, threshold: float) -> Tensor:
        """The loss of one batch.

        Args:
            student, teacher: probabilities (B, C, *S).
            uncertainty: of the teacher, such as its entropy in nats, (B, 1, *S).
            threshold: of the uncertainty, see :func:`uncertainty_threshold`.

        Raises:
            ValueError: when the shapes do not fit.
        """
        expected = (len(student), 1, *student.shape[2:])
        if student.ndim < 3 or teacher.shape != student.shape or uncertainty.shape != expected:
            raise ValueError(
                "student and teacher must be probabilities of one shape (B, C, *S), and uncertainty (B, 1, *S), found "
                f"{tuple(student.shape)}, {tuple(teacher.shape)} and {tuple(uncertainty.shape)}"
            )
        dtype = at_least_float32(student.dtype)
        # not in half precision, which would round the threshold
        certain = (uncertainty.detach().to(at_least_float32(uncertainty.dtype)) < threshold).to(dtype)
        squares = (student.to(dtype) - teacher.detach().to(dtype)).square() * certain
        total, count = sum_over_processes(torch.stack([squares.sum(), certain.sum()]))
        return total / (2 * count + SMOOTH)
