# SPDX-License-Identifier: Apache-2.0
"""Cut-out of several boxes, which restoration has to fill."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext import arguments

from .corruption import inside_boxes
from .operation import IntensityOperation, bounds, check_axes


class BoxCutout(IntensityOperation):
    """Sets what lies inside several random boxes, or outside all of them, to 0 in all channels.

    The inner and outer cut-out of Models Genesis (Zhou et al. 2019) and DiRA (Haghighi et al. 2022). Each box has sides
    and a place of its own along each axis, never leaves the image and may overlap others. After each box the sample is
    done with the probability ``stop``.

    Args:
        outside: whether the boxes are what is kept.
        fractions: smallest and largest side as a fraction of each side of the image, in (0, 1].
        boxes: largest number of boxes.
        stop: chance to be done after each box, short of 1.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be corrupted.
    """

    def __init__(
        self,
        outside: bool = False,
        fractions: tuple[float, float] = (10 / 224, 70 / 224),
        boxes: int = 10,
        stop: float = 0.1,
        spatial_dims: int = 2,
        probability: float = 1.0,
    ) -> None:
        self.spatial_dims = arguments.one_of("spatial_dims", spatial_dims, (2, 3))
        self.boxes = arguments.positive_integer("boxes", boxes)
        super().__init__([0.0] * (1 + 2 * boxes * spatial_dims), probability)
        self.outside, self.stop = outside, arguments.probability("stop", stop)
        self.fractions = bounds("BoxCutout's fractions", fractions, above=0.0)
        if self.fractions[1] > 1:
            raise ValueError(f"BoxCutout's fractions must be at most 1, found {fractions!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """1, then the sides of each box as fractions, 0 where there is none, then its location, (B, 1 + 2 N d)."""
        smallest, largest = self.fractions
        shape = (batch_size, self.boxes, self.spatial_dims)
        sides = smallest + (largest - smallest) * torch.rand(shape, generator=generator)
        going_on = torch.rand(batch_size, self.boxes, generator=generator) >= self.stop
        there = torch.cat([torch.ones(batch_size, 1), going_on[:, :-1]], dim=1).cumprod(dim=1)
        location = torch.rand(shape, generator=generator)
        return torch.cat([torch.ones(batch_size, 1), (sides * there[..., None]).flatten(1), location.flatten(1)], dim=1)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image with its boxes, or all but them, set to 0."""
        check_axes(self, self.spatial_dims, image)
        corrupted, sides, location = params.float().split([1, *[self.boxes * self.spatial_dims] * 2], dim=1)
        shape = (len(image), self.boxes, self.spatial_dims)
        inside = inside_boxes(sides.reshape(shape), location.reshape(shape), image.shape[2:])
        if not self.outside:
            return image.masked_fill(inside, 0)
        return image.masked_fill(~inside & (corrupted > 0).reshape(-1, *[1] * (image.ndim - 1)), 0)
