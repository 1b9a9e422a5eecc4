# SPDX-License-Identifier: Apache-2.0
"""Operations on the colors of RGB images; images of other channels do not change."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

from .intensity_range import Limits, checked_limits, clipped
from .operation import IntensityOperation, blend, expand_like, interval, scale_about, uniform

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of the channels in the gray value (ITU-R BT.601), as in PIL and torchvision."""


class Saturation(IntensityOperation):
    """Random saturation: multiplies the distance of RGB pixels to their gray value by a factor from U(low, high).

    Args:
        low: smallest factor, at least 0, which gives a gray image.
        high: largest factor.
        probability: chance of each sample to be augmented.
        limits: intensities are clipped to them, (0, 1) for photographs as torchvision does; None clips nothing.
    """

    def __init__(self, low: float, high: float, probability: float = 1.0, limits: Limits | None = None) -> None:
        super().__init__([1.0], probability)
        self.low, self.high = interval("Saturation", low, high)
        if self.low < 0:
            raise ValueError(f"Saturation's factors must be at least 0, found low={low!r}")
        self.limits = checked_limits("Saturation", limits)

    @property
    def clips_to(self) -> Limits | None:
        """Its limits."""
        return self.limits

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Saturation:
        """Factors closer to 1."""
        low, high = blend(1.0, self.low, strength), blend(1.0, self.high, strength)
        return Saturation(low, high, self.probability, self.limits)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """gray + factor * (image - gray)."""
        if not _is_rgb(image):
            return image
        return clipped(scale_about(luma(image), image, params), self.limits)


class Hue(IntensityOperation):
    """Random hue shift of RGB pixels (HSV's hue) by a fraction of the color circle from U(-shift, shift).

    A pixel keeps its largest and its smallest channel, so that no value leaves the range of the image.

    Args:
        shift: largest shift, at most 0.5, the opposite hue.
        probability: chance of each sample to be augmented.
    """

    def __init__(self, shift: float, probability: float = 1.0) -> None:
        super().__init__([0.0], probability)
        self.low, self.high = interval("Hue's shift", -shift, shift)
        if self.high > 0.5:
            raise ValueError(f"Hue's shift is a fraction of the color circle of at most 0.5, found {shift!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Fractions of the circle, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Hue:
        """Smaller shifts."""
        return Hue(strength * self.high, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image with shifted hues."""
        if not _is_rgb(image):
            return image
        red, green, blue = (image if image.dtype == torch.float64 else image.float()).unbind(1)
        high = torch.maximum(torch.maximum(red, green), blue)
        low = torch.minimum(torch.minimum(red, green), blue)
        chroma = high - low
        inverse = 1 / torch.where(chroma > 0, chroma, 1.0)
        # The hue in sixths of the circle: red at 0, green at 2, blue at 4; the largest channel says which is nearest.
        green_or_blue = torch.where(high == green, (blue - red) * inverse + 2, (red - green) * inverse + 4)
        hue = torch.where(high == red, (green - blue) * inverse, green_or_blue)
        hue = (hue + 6 * expand_like(params, hue)).remainder(6)
        parts = [(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()]
        return torch.stack([low + chroma * part.clamp(0, 1) for part in parts], dim=1).to(image.dtype)


class Grayscale(IntensityOperation):
    """Random grayscale: all channels of an RGB image get its gray value.

    Args:
        probability: chance of each sample to be augmented.
    """

    def __init__(self, probability: float = 0.2) -> None:
        super().__init__([0.0], probability)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """1 for each sample, (B, 1)."""
        return torch.ones(batch_size, 1)

    def scaled(self, strength: float) -> Grayscale:
        """The same operation, less often."""
        return Grayscale(strength * self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The gray image where the parameter is 1."""
        return torch.where(expand_like(params, image) > 0, luma(image), image)


def luma(image: Tensor) -> Tensor:
    """The gray value (B, 1, *S) of RGB images (B, 3, *S); images of other channels unchanged."""
    if image.shape[1] != 3:
        return image
    red, green, blue = image.split(1, dim=1)
    return RED * red + GREEN * green + BLUE * blue


def _is_rgb(image: Tensor) -> bool:
    channels = image.shape[1]
    if channels != 3:
        warn_not_rgb(channels)
    return channels == 3


@cache
def warn_not_rgb(channels: int) -> None:
    """Warns, once per process, that images of so many channels have neither saturation nor hue."""
    warnings.warn(
        f"Saturation and Hue change RGB images and leave these, of {channels} channel(s), unchanged; give the policy "
        "color=False for images that are not RGB",
        stacklevel=2,
    )
