# SPDX-License-Identifier: Apache-2.0
"""Shifts along the axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .matrices import homogeneous
from .operation import AffineOperation, interval, uniform


class Translation(AffineOperation):
    """Random translation along each axis by a distance from U(-fraction, fraction) of the side.

    Args:
        fraction: largest distance as a fraction of each side.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be translated.
    """

    def __init__(self, fraction: float, spatial_dims: int = 2, probability: float = 1.0) -> None:
        super().__init__([0.0] * spatial_dims, spatial_dims, probability)
        self.low, self.high = interval("Translation's fraction", -fraction, fraction)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Distances as fractions of the side, (B, d)."""
        return uniform((batch_size, self.spatial_dims), self.low, self.high, generator)

    def scaled(self, strength: float) -> Translation:
        """Smaller distances."""
        return Translation(strength * self.high, self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates minus the distance in voxels."""
        linear = torch.eye(self.spatial_dims, dtype=torch.float64).expand(len(params), -1, -1)
        return homogeneous(linear, -params.double() * torch.tensor(size, dtype=torch.float64))
