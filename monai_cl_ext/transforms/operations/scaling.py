# SPDX-License-Identifier: Apache-2.0
"""Magnification about the center."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .matrices import homogeneous
from .operation import AffineOperation, blend, interval, uniform


class Scaling(AffineOperation):
    """Random zoom about the center by one factor per sample, from U(low, high); below 1 the content shrinks.

    Args:
        low: smallest factor, above 0.
        high: largest factor.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be scaled.
    """

    def __init__(self, low: float, high: float, spatial_dims: int = 2, probability: float = 1.0) -> None:
        super().__init__([1.0], spatial_dims, probability)
        self.low, self.high = interval("Scaling", low, high, above=0.0)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Scaling:
        """Factors closer to 1."""
        low, high = blend(1.0, self.low, strength), blend(1.0, self.high, strength)
        return Scaling(low, high, self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates divided by the factor."""
        return homogeneous(torch.diag_embed(params.double().reciprocal().expand(-1, self.spatial_dims)))
