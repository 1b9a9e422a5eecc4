# SPDX-License-Identifier: Apache-2.0
"""Standardization by the mean and standard deviation of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_number

from .operation import IntensityOperation


class Standardization(IntensityOperation):
    """(image - mean) / std for each channel, with fixed numbers; nothing is random.

    What works on intensities in [0, 1], such as clipping and solarization, comes before it.

    Args:
        mean: of each channel.
        std: standard deviation of each channel.

    Raises:
        ValueError: when the lengths differ or a standard deviation is not positive; when applied, for images with
            another number of channels.
    """

    sets_range: ClassVar[bool] = True

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__([])
        self.mean = [float(value) for value in mean]
        self.std = [positive_number("std", value) for value in std]
        if len(self.mean) != len(self.std):
            raise ValueError(f"expected a mean and a std for each channel, found mean={mean!r} and std={std!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """No parameters, (B, 0)."""
        return torch.empty(batch_size, 0)

    def scaled(self, strength: float) -> Standardization:
        """Itself: it augments nothing."""
        return self

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The standardized image."""
        if image.shape[1] != len(self.mean):
            raise ValueError(f"Standardization has {len(self.mean)} channels, found an image of {image.shape[1]}")
        columns = [image[:, channel] for channel in range(len(self.mean))]
        moved = [(column - mean) / std for column, mean, std in zip(columns, self.mean, self.std, strict=True)]
        return torch.stack(moved, dim=1)
