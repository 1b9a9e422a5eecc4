# SPDX-License-Identifier: Apache-2.0
"""Random boxes of a fraction of each side, resized to the full size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .matrices import box_matrix
from .operation import AffineOperation, blend, bounds, interval, uniform


class CropResize(AffineOperation):
    """Random crop of a box of the image's own shape, resized to the full size; the box never leaves the image.

    Args:
        fraction: side of the box as a fraction of each side of the image, in (0, 1], or a range (low, high) of it.
        location: range of the box's location along each axis, drawn independently: 0 touches the low end of the image,
            1 the high end.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be cropped.
    """

    def __init__(
        self,
        fraction: float | tuple[float, float],
        location: tuple[float, float] = (0.0, 1.0),
        spatial_dims: int = 2,
        probability: float = 1.0,
    ) -> None:
        super().__init__([1.0, *[0.0] * spatial_dims], spatial_dims, probability)
        smallest, largest = fraction if isinstance(fraction, Sequence) else (fraction, fraction)
        self.fraction = interval("CropResize's fraction", smallest, largest, above=0.0)
        self.location = bounds("CropResize's location", location)
        if self.fraction[1] > 1 or self.location[0] < 0 or self.location[1] > 1:
            raise ValueError(
                f"CropResize crops inside the image: fraction must be at most 1 and location within [0, 1], "
                f"found fraction={fraction!r}, location={location!r}"
            )

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Fraction, and location along each axis, (B, 1 + d)."""
        fraction = uniform((batch_size, 1), *self.fraction, generator)
        location = uniform((batch_size, self.spatial_dims), *self.location, generator)
        return torch.cat([fraction, location], dim=1)

    def scaled(self, strength: float) -> CropResize:
        """Larger boxes, at the same locations."""
        low, high = (blend(1.0, fraction, strength) for fraction in self.fraction)
        return CropResize((low, high), self.location, self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates shrunk to the box, then moved to its center."""
        fraction, location = params[:, :1], params[:, 1:]
        return box_matrix(fraction.expand_as(location), location, size)
