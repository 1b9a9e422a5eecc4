# SPDX-License-Identifier: Apache-2.0
"""Flips along axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext import arguments

from .matrices import homogeneous
from .operation import AffineOperation


class Mirror(AffineOperation):
    """Random flip along each of the given axes, independently.

    Args:
        axes: spatial axis or axes; negative ones count from the last.
        spatial_dims: 2 or 3.
        axis_probability: chance of each axis of each sample to be flipped.
    """

    def __init__(self, axes: int | Sequence[int] = -1, spatial_dims: int = 2, axis_probability: float = 0.5) -> None:
        axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
        super().__init__([1.0] * len(axes), spatial_dims)
        self.axes = tuple(axis % spatial_dims if -spatial_dims <= axis < spatial_dims else -1 for axis in axes)
        if -1 in self.axes or len(set(self.axes)) < len(axes):
            raise ValueError(f"Mirror's axes must be distinct and within {spatial_dims} spatial axes, found {axes!r}")
        self.axis_probability = arguments.probability("axis_probability", axis_probability)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """-1 for every flipped axis, 1 for the others, (B, axes)."""
        flipped = torch.rand(batch_size, len(self.axes), generator=generator) < self.axis_probability
        return 1.0 - 2.0 * flipped

    def make_params(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """As drawn: axes are left alone one by one, not samples as a whole."""
        return self.draw(batch_size, generator)

    def scaled(self, strength: float) -> Mirror:
        """Rarer flips."""
        return Mirror(self.axes, self.spatial_dims, strength * self.axis_probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """The signs on the diagonal."""
        diagonal = torch.ones(len(params), self.spatial_dims, dtype=torch.float64)
        diagonal[:, self.axes] = params.double()
        return homogeneous(torch.diag_embed(diagonal))
