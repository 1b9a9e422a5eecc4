# SPDX-License-Identifier: Apache-2.0
"""Elastic deformation from a coarse grid of control points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .operation import SpatialOperation, interval


class ElasticDeformation(SpatialOperation):
    """Random elastic deformation: control points displaced by N(0, sigma) along each axis, smooth in between.

    The outermost control points lie on the outermost voxels; displacements between control points are interpolated by
    cubic convolution.

    Args:
        sigma: standard deviation of a displacement, as a fraction of the side along which it points.
        points: control points along each axis, at least 2.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be deformed.
    """

    def __init__(self, sigma: float, points: int = 3, spatial_dims: int = 2, probability: float = 1.0) -> None:
        if not isinstance(points, int) or points < 2:
            raise ValueError(f"ElasticDeformation needs at least 2 control points an axis, found points={points!r}")
        super().__init__(torch.zeros(spatial_dims * points**spatial_dims), spatial_dims, probability)
        _, self.sigma = interval("ElasticDeformation's sigma", 0.0, sigma)
        self.points = points

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Displacements of the control points as fractions of the sides, (B, d * points ** d)."""
        return self.sigma * torch.randn(batch_size, self.columns, generator=generator)

    def scaled(self, strength: float) -> ElasticDeformation:
        """Smaller displacements."""
        return ElasticDeformation(strength * self.sigma, self.points, self.spatial_dims, self.probability)

    def control(self, params: Tensor) -> Tensor:
        """Displacements of the control points as fractions of the sides, (B, d, points, ..., points)."""
        return params.reshape(-1, self.spatial_dims, *[self.points] * self.spatial_dims)


def dense_displacement(control: Tensor, size: Sequence[int]) -> Tensor:
    """Control displacements (B, d, g, ..., g) interpolated to every voxel, (B, d, *size).

    Cubic convolution is linear in the control points and separable, so it is one small matrix product per axis.
    """
    field = control
    for length in size:  # takes the first spatial axis and leaves it, interpolated, as the last
        weights = cubic_weights(field.shape[2], length, field.device, field.dtype)
        field = field.movedim(2, -1) @ weights
    return field


@lru_cache(maxsize=64)
def cubic_weights(points: int, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Weight of each control point at each voxel of an axis, (points, length)."""
    unit = torch.eye(points, dtype=torch.float64).reshape(1, 1, points, points)
    weights = interpolate(unit, size=(points, length), mode="bicubic", align_corners=True)[0, 0]
    return weights.to(device, dtype)
