# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur, each sample with its own standard deviation."""

from __future__ import annotations

from math import ceil
from typing import ClassVar

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_integer

from .operation import IntensityOperation, interval, uniform
from .separable import convolve

SMALLEST_SIGMA = 0.01
"""In voxels; below it every tap but the middle one is 0 in floating point."""


class GaussianBlur(IntensityOperation):
    """Random Gaussian blur with a standard deviation from U(low, high), in voxels, the same along every axis.

    The kernel is the Gaussian sampled at voxels, truncated and divided by its sum; the image is padded by reflection. A
    standard deviation of 0 changes nothing.

    Args:
        low: smallest standard deviation, at least 0.
        high: largest standard deviation.
        kernel_size: taps along each axis, odd; None for three of the largest standard deviations to each side.
        probability: chance of each sample to be blurred.
    """

    by_channel: ClassVar[bool] = True

    def __init__(self, low: float, high: float, kernel_size: int | None = None, probability: float = 1.0) -> None:
        super().__init__([0.0], probability)
        self.low, self.high = interval("GaussianBlur", low, high)
        if self.low < 0:
            raise ValueError(f"GaussianBlur's standard deviations must be at least 0, found low={low!r}")
        if kernel_size is None:
            kernel_size = 2 * ceil(3 * self.high) + 1
        elif positive_integer("GaussianBlur's kernel_size", kernel_size) % 2 == 0:
            raise ValueError(f"GaussianBlur's kernel_size must be odd, found {kernel_size}")
        self.kernel_size = kernel_size

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Standard deviations in voxels, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> GaussianBlur:
        """Smaller standard deviations; the kernel keeps its size."""
        return GaussianBlur(strength * self.low, strength * self.high, self.kernel_size, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The blurred image; half precision is blurred in float32."""
        values = image if image.dtype == torch.float64 else image.float()
        kernels = gaussian_kernels(params.to(values.dtype), self.kernel_size)
        return convolve(values, [kernels] * (image.ndim - 2), padding_mode="reflect").to(image.dtype)


def gaussian_kernels(sigma: Tensor, kernel_size: int) -> Tensor:
    """The kernel of each sample, (B, kernel_size) with sum 1, from standard deviations (B, 1)."""
    radius = kernel_size // 2
    offsets = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
    return torch.softmax(-0.5 * (offsets / sigma.clamp(min=SMALLEST_SIGMA)) ** 2, dim=1)
