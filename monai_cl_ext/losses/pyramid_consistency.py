# SPDX-License-Identifier: Apache-2.0
"""Consistency of a network's scales, rectified by their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from monai_cl_ext.distributed import sum_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.segmentation_checks import check_alike
from monai_cl_ext.numerics import at_least_float32

SMOOTH = 1e-8


class PyramidConsistencyLoss(nn.Module):
    """Each scale's probabilities are to be the mean of all scales (URPC; Luo et al. 2021).

    The divergence of a scale at a voxel is V = KL(mean || scale). The loss of a scale is the mean of the squared
    difference times exp(-V), over the mean of exp(-V) + 1e-8, plus the mean of V; that of the batch is the mean over
    scales. The mean probabilities get a gradient too, as in the release. Over several processes the means are those of
    all of them.
    """

    @plain_tensors
    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        """The loss of one batch.

        Args:
            logits: a map (B, C, *S) of each scale, at least two, resized to one size.

        Raises:
            ValueError: when there is one map, or the shapes differ.
        """
        check_alike(logits)
        scales = torch.stack([each.to(at_least_float32(each.dtype)).log_softmax(1) for each in logits])
        mean = scales.logsumexp(0) - log(len(scales))
        divergence = (mean.exp() * (mean - scales)).sum(2)
        certainty = (-divergence).exp()
        squares = (mean.exp() - scales.exp()).square().mean(2) * certainty
        voxels = torch.full_like(squares, 1)
        parts = torch.stack([squares, certainty, divergence, voxels]).flatten(2).sum(2)
        squared, certain, diverged, count = sum_over_processes(parts)
        count = count.clamp_min(1)  # an empty batch has a loss of 0
        return ((squared / count) / (certain / count + SMOOTH) + diverged / count).mean()
