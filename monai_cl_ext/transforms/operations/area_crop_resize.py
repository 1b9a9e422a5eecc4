# SPDX-License-Identifier: Apache-2.0
"""Random boxes of a fraction of the image's area, resized to the full size (random resized crop)."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

from .matrices import box_matrix
from .operation import AffineOperation, blend, bounds, uniform

TRIES = 10
"""Boxes drawn for a sample until one fits, as many as torchvision's ``RandomResizedCrop`` draws."""


class AreaCropResize(AffineOperation):
    """Random resized crop: a box of random area and aspect ratio, resized to the full size.

    On square images this is torchvision's ``RandomResizedCrop``: area from U(low, high), aspect ratio log-uniform, any
    location within the image, drawn again where the box does not fit. On other images sides are fractions of the
    image's own, so that a box of ratio 1 has the shape of the image. Sides are not rounded to whole voxels. A sample
    for which ten boxes do not fit keeps the whole image.

    Args:
        area: range of the box's area (in 3D its volume) as a fraction of the image's, within (0, 1].
        ratio: range of the box's last side divided by the side before it; in 3D also of its first side divided by the
            geometric mean of the other two, drawn independently.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be cropped.
    """

    def __init__(
        self,
        area: tuple[float, float] = (0.4, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        spatial_dims: int = 2,
        probability: float = 1.0,
    ) -> None:
        super().__init__([*[1.0] * spatial_dims, *[0.0] * spatial_dims], spatial_dims, probability)
        self.area = bounds("AreaCropResize's area", area, above=0.0)
        self.ratio = bounds("AreaCropResize's ratio", ratio, above=0.0)
        nearest_square = min(max(1.0, self.ratio[0]), self.ratio[1])
        smallest = self._sides(torch.tensor([self.area[0]]), torch.full((1, spatial_dims - 1), nearest_square))
        if self.area[1] > 1 or smallest.max() > 1 + 1e-6:
            raise ValueError(
                f"AreaCropResize crops inside the image, found area={area!r} with ratio={ratio!r}: give an area "
                "of at most 1 and a ratio with which its smallest box fits"
            )

    def _sides(self, area: Tensor, ratio: Tensor) -> Tensor:
        """Sides (..., d) of boxes of an area (...) and of ratios (..., d - 1), the last two sides' first."""
        plane = area if self.spatial_dims == 2 else (area / ratio[..., 1]) ** (2 / 3)
        sides = [(plane / ratio[..., 0]).sqrt(), (plane * ratio[..., 0]).sqrt()]
        return torch.stack(sides if self.spatial_dims == 2 else [area / plane, *sides], dim=-1)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Sides of the box as fractions, then its location along each axis (0 low, 1 high end), (B, 2 d)."""
        area = uniform((batch_size, TRIES), *self.area, generator)
        narrow, wide = map(log, self.ratio)
        logarithm = uniform((batch_size, TRIES * (self.spatial_dims - 1)), narrow, wide, generator)
        sides = self._sides(area, logarithm.exp().unflatten(1, (TRIES, -1)))
        fits = (sides <= 1).all(dim=2)
        first = sides[torch.arange(batch_size), fits.int().argmax(dim=1)]
        location = torch.rand(batch_size, self.spatial_dims, generator=generator)
        return torch.cat([first.where(fits.any(dim=1, keepdim=True), 1.0), location], dim=1)

    def scaled(self, strength: float) -> AreaCropResize:
        """Areas closer to 1, and ratios closer to 1 on a logarithmic scale."""
        low, high = (blend(1.0, area, strength) for area in self.area)
        narrow, wide = (ratio**strength for ratio in self.ratio)
        return AreaCropResize((low, high), (narrow, wide), self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates shrunk to the box, then moved to its center."""
        sides, location = params.split(self.spatial_dims, dim=1)
        return box_matrix(sides, location, size)
