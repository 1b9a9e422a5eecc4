# SPDX-License-Identifier: Apache-2.0
"""Perturbations of a map of features, in training alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FeatureDropout(nn.Module):
    """Zeroes the places that respond most (Ouali et al. 2020, CCT; as URPC has it).

    A place is dropped when its mean over channels is at least a share of the largest one of its image. The share is
    drawn from [0.7, 0.9), one for the batch.
    """

    def forward(self, features: Tensor) -> Tensor:
        """The map (B, C, *S) without these places."""
        if not self.training:
            return features
        response = features.detach().mean(1, keepdim=True)
        largest = response.amax(tuple(range(1, response.ndim)), keepdim=True)
        share = torch.empty_like(largest[:1]).uniform_(0.7, 0.9)
        return features * (response < share * largest)


class FeatureNoise(nn.Module):
    """Multiplies each feature by a number from [0.7, 1.3), the same in all rows of the batch (Ouali et al. 2020)."""

    def forward(self, features: Tensor) -> Tensor:
        """The map (B, C, *S) with noise."""
        if not self.training:
            return features
        return features * (1 + torch.empty_like(features[:1]).uniform_(-0.3, 0.3))
