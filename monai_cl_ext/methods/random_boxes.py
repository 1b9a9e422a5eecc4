# SPDX-License-Identifier: Apache-2.0
"""Random boxes, by which two images are pasted into each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext import arguments
from monai_cl_ext.arguments import positive_number
from monai_cl_ext.pinned import pinned_copy
from monai_cl_ext.seeds import EpochGenerator, mix_seed

STREAM = 0x626F786573  # separates these draws from those of the views, which have the same seed


class RandomBoxes:
    """Masks of random boxes: 0 in the box, 1 outside.

    Args:
        smallest, largest: the side of a box along each axis, as a fraction of the image's, uniform between the two; at
            least one voxel.
        shared: one box for all rows of a batch; else each row has its own.
        probability: chance that there is a box.
        seed: the run's seed; the boxes of an epoch follow from (seed, rank, epoch).

    Raises:
        ValueError: when the sides are not above 0 and at most 1, or in the wrong order.
    """

    def __init__(
        self, smallest: float, largest: float, *, shared: bool = False, probability: float = 1.0, seed: int = 0
    ) -> None:
        self.smallest, self.largest = positive_number("smallest", smallest), positive_number("largest", largest)
        if not self.smallest <= self.largest <= 1:
            raise ValueError(f"sides of boxes must be fractions, smallest <= largest <= 1, found {smallest}, {largest}")
        self.shared = shared
        self.probability = arguments.probability("probability", probability)
        self.generator = EpochGenerator(mix_seed(STREAM, int(seed)))

    def set_epoch(self, epoch: int) -> None:
        """Seeds the draws of an epoch."""
        self.generator.set_epoch(epoch)

    def __call__(self, image: Tensor) -> Tensor:
        """Masks (B, 1, *S), or (1, 1, *S) when shared, of the images (B, C, *S), in their dtype and on their device."""
        corners = self.make_params(1 if self.shared else len(image), image.shape[2:])
        return box_masks(pinned_copy(corners, image.device), image.shape[2:]).to(image.dtype)

    def make_params(self, count: int, size: Sequence[int]) -> Tensor:
        """First voxel of each box along each axis and the one behind its last, int64 (count, 2, axes), on the CPU."""
        draw, axes = self.generator(), len(size)
        whole = torch.tensor(size)
        side = torch.rand(count, axes, generator=draw) * (self.largest - self.smallest) + self.smallest
        side = (side * whole + 1e-4).long().clamp(min=1)  # a thin axis would have no box
        start = (torch.rand(count, axes, generator=draw) * (whole - side + 1)).long().minimum(whole - side)
        drawn = torch.rand(count, 1, generator=draw) < self.probability
        return torch.stack([start, start + side * drawn], dim=1)


def box_masks(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Masks (B, 1, *size), False in the boxes (B, 2, axes) of ``RandomBoxes.make_params`` and True outside."""
    inside = torch.ones(len(boxes), *[1] * len(size), dtype=torch.bool, device=boxes.device)
    for axis, length in enumerate(size):
        place = torch.arange(length, device=boxes.device)
        within = (place >= boxes[:, :1, axis]) & (place < boxes[:, 1:, axis])
        inside = inside & within.view(len(boxes), *[length if each == axis else 1 for each in range(len(size))])
    return ~inside.unsqueeze(1)
