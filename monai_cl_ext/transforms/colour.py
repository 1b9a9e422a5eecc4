# SPDX-License-Identifier: Apache-2.0
"""Operations on the colours of RGB images; images without colours are left as they are."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

from .intensity_range import Limits, checked_limits, clipped
from .operation import IntensityOperation, away_from, expand_like, interval, nearer, uniform

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Shares of the channels in the grey value (ITU-R BT.601), as PIL and torchvision have them."""


class Saturation(IntensityOperation):
    """Multiplies the distance of each RGB pixel to its grey value by one factor per sample, from U(low, high).

    Args:
        low: smallest factor, at least 0, which leaves a grey image.
        high: largest factor.
        probability: chance of each sample to be touched.
        limits: intensities are clipped to them, (0, 1) for photographs as torchvision does; None clips nothing.
    """

    def __init__(self, low: float, high: float, probability: float = 1.0, limits: Limits | None = None) -> None:
        super().__init__([1.0], probability)
        self.low, self.high = interval("Saturation", low, high)
        if self.low < 0:
            raise ValueError(f"Saturation's factors must be at least 0, found low={low!r}")
        self.limits = checked_limits("Saturation", limits)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Saturation:
        """Factors nearer to 1."""
        low, high = nearer(self.low, 1.0, strength), nearer(self.high, 1.0, strength)
        return Saturation(low, high, self.probability, self.limits)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """grey + factor * (image - grey)."""
        if not _has_colours(image):
            return image
        return clipped(away_from(luma(image), image, params), self.limits)


class Hue(IntensityOperation):
    """Turns the hue of RGB pixels (HSV's) by one share of the colour circle per sample, from U(-share, share).

    A pixel keeps its largest and its smallest channel, so that no value leaves the range of the image.

    Args:
        share: largest turn, at most 0.5, the opposite hue.
        probability: chance of each sample to be touched.
    """

    def __init__(self, share: float, probability: float = 1.0) -> None:
        super().__init__([0.0], probability)
        self.low, self.high = interval("Hue's share", -share, share)
        if self.high > 0.5:
            raise ValueError(f"Hue's share of the colour circle must be at most 0.5, found {share!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Shares of the circle, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Hue:
        """Turns nearer to 0."""
        return Hue(strength * self.high, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image with turned hues."""
        if not _has_colours(image):
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
        shares = [(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()]
        return torch.stack([low + chroma * share.clamp(0, 1) for share in shares], dim=1).to(image.dtype)


class Greyscale(IntensityOperation):
    """Gives all channels of an RGB image its grey value.

    Args:
        probability: chance of each sample to be touched.
    """

    def __init__(self, probability: float = 0.2) -> None:
        super().__init__([0.0], probability)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """1 for each sample, (B, 1)."""
        return torch.ones(batch_size, 1)

    def scaled(self, strength: float) -> Greyscale:
        """Takes the colours less often."""
        return Greyscale(strength * self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The grey image where the parameter is 1."""
        return torch.where(expand_like(params, image) > 0, luma(image), image)


def luma(image: Tensor) -> Tensor:
    """The grey value of RGB images, (B, 1, *S) of (B, 3, *S); images of other channels as they are."""
    if image.shape[1] != 3:
        return image
    red, green, blue = image.split(1, dim=1)
    return RED * red + GREEN * green + BLUE * blue


def _has_colours(image: Tensor) -> bool:
    channels = image.shape[1]
    if channels != 3:
        warn_without_colours(channels)
    return channels == 3


@cache
def warn_without_colours(channels: int) -> None:
    """Says, once in a process, that images of so many channels have neither saturation nor hue."""
    warnings.warn(
        f"Saturation and Hue change RGB images and leave these, of {channels} channel(s), as they are; give the policy "
        "saturation=0 and hue=0 for images without colours",
        stacklevel=2,
    )
