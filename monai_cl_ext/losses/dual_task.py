# SPDX-License-Identifier: Apache-2.0
"""Dual-task consistency of signed distances and classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.distributed import sum_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.segmentation_checks import check_segmentation
from monai_cl_ext.numerics import at_least_float32, probabilities


class DualTaskConsistencyLoss(nn.Module):
    """Predicted signed distances and classes are to describe one shape (DTC; Luo et al., AAAI 2021, eq. 3 and 4).

    sigmoid(-k distance) is nearly 1 inside a class and 0 outside; its squared difference from the probability of the
    class is averaged over the foreground classes and all voxels, over several processes those of all of them. Both
    predictions get a gradient.

    Args:
        k: steepness; 1500 as released.
    """

    def __init__(self, k: float = 1500.0) -> None:
        super().__init__()
        self.k = positive_number("k", k)

    @plain_tensors
    def forward(self, signed_distance: Tensor, logits: Tensor) -> Tensor:
        """The mean squared difference.

        Args:
            signed_distance: of each foreground class, (B, C - 1, *S), negative inside.
            logits: (B, C, *S).

        Raises:
            ValueError: when the shapes do not fit.
        """
        check_segmentation(logits)
        expected = (len(logits), logits.shape[1] - 1, *logits.shape[2:])
        if tuple(signed_distance.shape) != expected:
            raise ValueError(
                f"signed_distance must be {expected} for logits {tuple(logits.shape)}, one map a foreground class, "
                f"found {tuple(signed_distance.shape)}"
            )
        predicted = probabilities(logits)[:, 1:]
        distance = signed_distance.to(at_least_float32(signed_distance.dtype))
        squares = (torch.sigmoid(-self.k * distance) - predicted).square().sum()
        total, count = sum_over_processes(torch.stack([squares, torch.full_like(squares, predicted.numel())]))
        return total / count.clamp_min(1)
