# SPDX-License-Identifier: Apache-2.0
"""Operations that corrupt an image, for networks that learn to restore it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import floor, prod

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of, per_axis, positive_integer, positive_number

from .operation import IntensityOperation, check_axes, interval

ROUNDING = 1e-6  # so that 5 / 96 of 96 voxels are 5, whatever the last bit says


class BoxErasing(IntensityOperation):
    """Sets a random box to 0 in all channels (inpainting, Pathak et al. 2016); the box never leaves the image.

    Args:
        fraction: side of the box as a fraction of each side of the image, in (0, 1] (100 of 192 pixels in the code
            released with Chaitanya et al. 2020).
        spatial_dims: 2 or 3.
        probability: chance of each sample to be corrupted.
    """

    def __init__(self, fraction: float = 100 / 192, spatial_dims: int = 2, probability: float = 1.0) -> None:
        self.spatial_dims = one_of("spatial_dims", spatial_dims, (2, 3))
        super().__init__([0.0] * (1 + spatial_dims), probability)
        _, self.fraction = interval("BoxErasing's fraction", fraction, fraction, above=0.0)
        if self.fraction > 1:
            raise ValueError(f"BoxErasing's fraction must be at most 1, found {fraction!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Side of the box as a fraction, and its location along each axis (0 low, 1 high end), (B, 1 + d)."""
        location = torch.rand(batch_size, self.spatial_dims, generator=generator)
        return torch.cat([torch.full((batch_size, 1), self.fraction), location], dim=1)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image with the box set to 0."""
        check_axes(self, self.spatial_dims, image)
        fraction, location = params.float()[:, None].split([1, self.spatial_dims], dim=2)
        return image.masked_fill(inside_boxes(fraction.expand_as(location), location, image.shape[2:]), 0)


class PatchSwapping(IntensityOperation):
    """Swaps random pairs of small patches: the histogram stays, the context is lost (Chen et al. 2019).

    No two patches of an image overlap: they are distinct cells of a lattice of their own size, whose offset is random
    too. All swaps read from the input image.

    Args:
        swaps: N, pairs of patches that are swapped.
        fraction: side of a patch as a fraction of each side of the image, or one for each axis; rounded down to whole
            voxels (5 of 192 pixels as released).
        spatial_dims: 2 or 3.
        probability: chance of each sample to be corrupted.

    Raises:
        ValueError: when the lattice has fewer than 2 N cells; on use, when a patch is smaller than a voxel.
    """

    def __init__(
        self,
        swaps: int = 10,
        fraction: float | Sequence[float] = 5 / 192,
        spatial_dims: int = 2,
        probability: float = 1.0,
    ) -> None:
        self.spatial_dims = one_of("spatial_dims", spatial_dims, (2, 3))
        self.swaps = positive_integer("swaps", swaps)
        super().__init__([0.0] * (spatial_dims * (1 + 2 * swaps)), probability)
        self.fractions = per_axis("PatchSwapping's fraction", fraction, spatial_dims, positive_number)
        # one less than would fit: the offset can vary
        self.cells = [max(floor(1 / each + ROUNDING) - 1, 0) for each in self.fractions]
        if prod(self.cells) < 2 * swaps:
            shown = self._shown()
            raise ValueError(
                f"{swaps} swaps need {2 * swaps} patches that do not overlap, but patches of {shown} of the side "
                f"leave {prod(self.cells)} cells, found swaps={swaps}, fraction={shown}: lower one of them"
            )

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Offset of the lattice as a fraction of its slack, then the cell of each patch along each axis.

        Shape (B, d + 2 N d); the patches 0 ... N - 1 are swapped with N ... 2 N - 1.
        """
        offset = torch.rand(batch_size, self.spatial_dims, generator=generator)
        scores = torch.rand(batch_size, prod(self.cells), generator=generator)
        chosen = scores.topk(2 * self.swaps, dim=1).indices
        cells = [chosen // prod(self.cells[:axis]) % count for axis, count in enumerate(self.cells)]
        return torch.cat([offset, torch.stack(cells, dim=2).flatten(1).float()], dim=1)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image with its patches swapped."""
        check_axes(self, self.spatial_dims, image)
        size = image.shape[2:]
        patches = self._patches(params.float(), size).flatten(1, 2)
        half = patches.shape[1] // 2
        source = torch.arange(prod(size), device=image.device).repeat(len(image), 1)
        source.scatter_(1, patches, patches.roll(half, dims=1))
        return image.flatten(2).gather(2, source[:, None].expand(-1, image.shape[1], -1)).reshape(image.shape)

    def _patches(self, params: Tensor, size: tuple[int, ...]) -> Tensor:
        """Row-major index of each voxel of each patch, (B, 2 N, voxels of a patch)."""
        sides = [floor(each * length + ROUNDING) for each, length in zip(self.fractions, size, strict=True)]
        if min(sides) < 1:
            raise ValueError(
                f"patches of {self._shown()} of the side are smaller than a voxel of an image of {tuple(size)}: give "
                f"PatchSwapping a fraction of at least {1 / min(size):g}, or one for each axis"
            )
        offsets, cells = params.split([self.spatial_dims, 2 * self.swaps * self.spatial_dims], dim=1)
        cells = cells.reshape(len(params), 2 * self.swaps, self.spatial_dims)
        voxel = torch.arange(prod(sides), device=params.device)
        index = torch.zeros(1, dtype=torch.int64, device=params.device)
        for axis, (length, side) in enumerate(zip(size, sides, strict=True)):
            offset = _integer(offsets[:, axis : axis + 1], length - self.cells[axis] * side)
            corner = (offset + cells[..., axis] * side).long()
            index = index * length + corner[..., None] + voxel // prod(sides[axis + 1 :]) % side
        return index

    def _shown(self) -> str:
        different = len(set(self.fractions)) > 1
        return " x ".join(f"{each:g}" for each in (self.fractions if different else self.fractions[:1]))


def inside_boxes(fractions: Tensor, locations: Tensor, size: Sequence[int]) -> Tensor:
    """Which voxels lie in one of N boxes that do not leave the image, boolean (B, 1, *size).

    Args:
        fractions: sides as fractions of each side of the image, rounded to whole voxels, at least one; 0 where there
            is no box, (B, N, d).
        locations: along each axis, from 0, the low end, to 1, the high end, (B, N, d).
        size: spatial size of the image in voxels.
    """
    batch, boxes, dims = fractions.shape
    along = []  # of each axis, which of its voxels each box covers, (B, N, 1, ..., length, ..., 1)
    for axis, length in enumerate(size):
        fraction = fractions[..., axis : axis + 1]
        side = (fraction * length).round().clamp(min=1) * (fraction > 0)
        corner = _integer(locations[..., axis : axis + 1], length - side)
        voxel = torch.arange(length, device=fractions.device)
        covered = (voxel >= corner) & (voxel < corner + side)
        along.append(covered.reshape(batch, boxes, *[length if each == axis else 1 for each in range(dims)]))
    inside = torch.zeros(batch, *size, dtype=torch.bool, device=fractions.device)
    for box in range(boxes):  # one after another: the masks of all boxes at once would be N times as large
        inside |= reduce(torch.logical_and, [covered[:, box] for covered in along])
    return inside[:, None]


def _integer(location: Tensor, slack: Tensor | int) -> Tensor:
    """A location in [0, 1] as one of the integers 0 ... ``slack``, all equally likely."""
    return torch.minimum((location * (slack + 1)).floor(), torch.zeros_like(location) + slack)
