# SPDX-License-Identifier: Apache-2.0
"""Mutual consistency of several predictions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.distributed import sum_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.segmentation_checks import check_alike
from monai_cl_ext.losses.sharpening import sharpen
from monai_cl_ext.numerics import probabilities


class MutualConsistencyLoss(nn.Module):
    """Each prediction follows the sharpened ones of all others (MC-Net+; Wu et al. 2022).

    The mean squared error of p_i and S(p_j), with S of :func:`sharpen`, summed over ordered pairs i != j. The targets
    keep their gradient, as in the release. Over several processes the mean is that of all of them.

    Args:
        temperature: of the sharpening.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)

    @plain_tensors
    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        """The loss of one batch.

        Args:
            logits: a map (B, C, *S) of each prediction, at least two.

        Raises:
            ValueError: when there is one map, or the shapes differ.
        """
        check_alike(logits)
        predicted = [probabilities(each) for each in logits]
        targets = [sharpen(each, self.temperature) for each in predicted]
        pairs = permutations(range(len(logits)), 2)
        squares = torch.stack([(predicted[own] - targets[other]).square().sum() for own, other in pairs]).sum()
        total, count = sum_over_processes(torch.stack([squares, torch.full_like(squares, logits[0].numel())]))
        return total / count.clamp_min(1)
