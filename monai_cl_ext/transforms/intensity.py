# SPDX-License-Identifier: Apache-2.0
"""Operations on intensities, each with one parameter per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from .operation import IntensityOperation, expand_like, interval, uniform


class Brightness(IntensityOperation):
    """Adds one offset per sample, drawn from U(low, high), in the units of the image.

    Args:
        low: smallest offset.
        high: largest offset.
        probability: chance of each sample to be touched.
    """

    def __init__(self, low: float, high: float, probability: float = 1.0) -> None:
        super().__init__([0.0], probability)
        self.low, self.high = interval("Brightness", low, high)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Offsets, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image plus its offset."""
        return image + expand_like(params, image)


class IntensityScaling(IntensityOperation):
    """Multiplies all intensities by one factor per sample, drawn from U(low, high).

    On images whose black is 0 this is the brightness factor of PIL and torchvision.

    Args:
        low: smallest factor, above 0.
        high: largest factor.
        probability: chance of each sample to be touched.
    """

    def __init__(self, low: float, high: float, probability: float = 1.0) -> None:
        super().__init__([1.0], probability)
        self.low, self.high = interval("IntensityScaling", low, high, above=0.0)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image times its factor."""
        return image * expand_like(params, image)


class Contrast(IntensityOperation):
    """Multiplies the distance to the mean of each image and channel by one factor per sample, from U(low, high).

    Args:
        low: smallest factor, above 0.
        high: largest factor.
        probability: chance of each sample to be touched.
    """

    def __init__(self, low: float, high: float, probability: float = 1.0) -> None:
        super().__init__([1.0], probability)
        self.low, self.high = interval("Contrast", low, high, above=0.0)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """mean + factor * (image - mean), the mean over the spatial axes."""
        mean = image.mean(dim=tuple(range(2, image.ndim)), keepdim=True)
        return torch.lerp(mean, image, expand_like(params, image))


class ClampIntensity(IntensityOperation):
    """Limits every intensity to [low, high]; nothing is random.

    Args:
        low: smallest intensity left.
        high: largest intensity left.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__([])
        self.low, self.high = interval("ClampIntensity", low, high)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """No parameters, (B, 0)."""
        return torch.empty(batch_size, 0)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image within [low, high]."""
        return image.clamp(self.low, self.high)


class UnitRange(IntensityOperation):
    """Brings each sample to [0, 1] by the minimum and maximum of all its channels together; nothing is random.

    A sample that is constant, up to rounding, becomes 0.
    """

    def __init__(self) -> None:
        super().__init__([])

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """No parameters, (B, 0)."""
        return torch.empty(batch_size, 0)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """(image - minimum) / (maximum - minimum)."""
        axes = tuple(range(1, image.ndim))
        low, high = image.amin(dim=axes, keepdim=True), image.amax(dim=axes, keepdim=True)
        span, rounding = high - low, 4 * torch.finfo(image.dtype).eps * torch.maximum(high.abs(), low.abs())
        return (image - low) / torch.where(span > rounding, span, torch.inf)
