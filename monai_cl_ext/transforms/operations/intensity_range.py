# SPDX-License-Identifier: Apache-2.0
"""The range of intensities: clipping to it, and rescaling to it."""

from __future__ import annotations

import torch
from torch import Tensor

from .operation import IntensityOperation, interval

Limits = tuple[float, float]


class ClampIntensity(IntensityOperation):
    """Clips intensities to [low, high]; nothing is random.

    Args:
        low: smallest intensity that is kept.
        high: largest intensity that is kept.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__([])
        self.low, self.high = interval("ClampIntensity", low, high)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """No parameters, (B, 0)."""
        return torch.empty(batch_size, 0)

    def scaled(self, strength: float) -> ClampIntensity:
        """Itself: the limits are the range in which the other operations work."""
        return self

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image within [low, high]."""
        return image.clamp(self.low, self.high)


class UnitRange(IntensityOperation):
    """Rescales each sample to [0, 1] by the minimum and maximum over all its channels; nothing is random.

    A sample that is constant, up to rounding, becomes 0.
    """

    def __init__(self) -> None:
        super().__init__([])

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """No parameters, (B, 0)."""
        return torch.empty(batch_size, 0)

    def scaled(self, strength: float) -> UnitRange:
        """Itself: [0, 1] is the range in which the other operations work."""
        return self

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """(image - minimum) / (maximum - minimum)."""
        axes = tuple(range(1, image.ndim))
        low, high = image.amin(dim=axes, keepdim=True), image.amax(dim=axes, keepdim=True)
        span, rounding = high - low, 4 * torch.finfo(image.dtype).eps * torch.maximum(high.abs(), low.abs())
        return (image - low) / torch.where(span > rounding, span, torch.inf)


def checked_limits(name: str, limits: Limits | None) -> Limits | None:
    """The limits as floats; None stays.

    Raises:
        ValueError: when they are not two finite numbers, the lower first.
    """
    return None if limits is None else interval(f"{name}'s limits", *limits)


def clipped(values: Tensor, limits: Limits | None) -> Tensor:
    """The values clipped to the limits in place, for tensors that an operation has just made; None clips nothing."""
    return values if limits is None else values.clamp_(*limits)
