# SPDX-License-Identifier: Apache-2.0
"""Point operations on intensities, each with one parameter per sample."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of

from .color import luma
from .intensity_range import Limits, checked_limits, clipped
from .operation import IntensityOperation, blend, expand_like, interval, scale_about, uniform


class IntensityShift(IntensityOperation):
    """Random shift: adds one offset per sample, from U(low, high), in the units of the image.

    Args:
        low: smallest offset.
        high: largest offset.
        probability: chance of each sample to be augmented.
    """

    by_channel: ClassVar[bool] = True

    def __init__(self, low: float, high: float, probability: float = 1.0) -> None:
        super().__init__([0.0], probability)
        self.low, self.high = interval("IntensityShift", low, high)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Offsets, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> IntensityShift:
        """Smaller offsets."""
        return IntensityShift(strength * self.low, strength * self.high, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image plus its offset."""
        return image + expand_like(params, image)


class IntensityScaling(IntensityOperation):
    """Random scaling: multiplies intensities by one factor per sample, from U(low, high).

    Where black is 0 this is the brightness of PIL and torchvision.

    Args:
        low: smallest factor, above 0.
        high: largest factor.
        probability: chance of each sample to be augmented.
        limits: intensities are clipped to them, (0, 1) for photographs as torchvision does; None clips nothing.
    """

    by_channel: ClassVar[bool] = True

    def __init__(self, low: float, high: float, probability: float = 1.0, limits: Limits | None = None) -> None:
        super().__init__([1.0], probability)
        self.low, self.high = interval("IntensityScaling", low, high, above=0.0)
        self.limits = checked_limits("IntensityScaling", limits)

    @property
    def clips_to(self) -> Limits | None:
        """Its limits."""
        return self.limits

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> IntensityScaling:
        """Factors closer to 1."""
        low, high = blend(1.0, self.low, strength), blend(1.0, self.high, strength)
        return IntensityScaling(low, high, self.probability, self.limits)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image times its factor."""
        return clipped(image * expand_like(params, image), self.limits)


class Contrast(IntensityOperation):
    """Random contrast: multiplies the distance to the mean of each image by a factor from U(low, high).

    Args:
        low: smallest factor, above 0.
        high: largest factor.
        probability: chance of each sample to be augmented.
        mean: "channel" for each channel's own mean (TensorFlow), or "gray" for the mean of the gray image, one for all
            channels (PIL and torchvision).
        limits: as in ``IntensityScaling``.
    """

    by_channel: ClassVar[bool] = True

    def __init__(
        self,
        low: float,
        high: float,
        probability: float = 1.0,
        mean: str = "channel",
        limits: Limits | None = None,
    ) -> None:
        super().__init__([1.0], probability)
        self.low, self.high = interval("Contrast", low, high, above=0.0)
        self.mean = one_of("Contrast's mean", mean, ("channel", "gray"))
        self.limits = checked_limits("Contrast", limits)

    @property
    def clips_to(self) -> Limits | None:
        """Its limits."""
        return self.limits

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Contrast:
        """Factors closer to 1."""
        low, high = blend(1.0, self.low, strength), blend(1.0, self.high, strength)
        return Contrast(low, high, self.probability, self.mean, self.limits)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """mean + factor * (image - mean), the mean over the spatial axes."""
        mean = image.mean(dim=tuple(range(2, image.ndim)), keepdim=True)
        if self.mean == "gray":
            mean = luma(mean)
        return clipped(scale_about(mean, image, params), self.limits)


class Solarization(IntensityOperation):
    """Random solarization: inverts intensities from a threshold on, v -> 1 - v, in images of [0, 1].

    Args:
        threshold: smallest intensity that is inverted.
        probability: chance of each sample to be augmented.
    """

    by_channel: ClassVar[bool] = True

    def __init__(self, threshold: float = 0.5, probability: float = 1.0) -> None:
        super().__init__([torch.inf], probability)
        _, self.threshold = interval("Solarization's threshold", threshold, threshold)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The threshold, (B, 1)."""
        return torch.full((batch_size, 1), self.threshold)

    def scaled(self, strength: float) -> Solarization:
        """The same threshold, less often."""
        return Solarization(self.threshold, strength * self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """1 - image where it reaches the threshold."""
        return torch.where(image >= expand_like(params, image), 1 - image, image)
