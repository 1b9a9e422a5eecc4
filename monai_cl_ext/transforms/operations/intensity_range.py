# SPDX-License-Identifier: Apache-2.0
"""The range of intensities: clipping to it, and rescaling to it."""

from __future__ import annotations

import warnings
from typing import ClassVar

import torch
from torch import Tensor

from .operation import IntensityOperation, bounds, interval

Limits = tuple[float, float]

LOST = 0.1
"""Share of voxels beyond the limits from on which a policy warns; what percentiles scaled has a few."""

LOOKED_AT = 2**16
"""Voxels of a batch that are looked at, which costs nothing beside the operations."""

_warned: set[Limits] = set()


class ClampIntensity(IntensityOperation):
    """Clips intensities to [low, high]; nothing is random.

    Args:
        low: smallest intensity that is kept.
        high: largest intensity that is kept.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__([])
        self.low, self.high = interval("ClampIntensity", low, high)

    @property
    def clips_to(self) -> Limits:
        """(low, high)."""
        return self.low, self.high

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

    sets_range: ClassVar[bool] = True

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
    return None if limits is None else bounds(f"{name}'s limits", limits)


def clipped(values: Tensor, limits: Limits | None) -> Tensor:
    """The values clipped to the limits in place, for tensors that an operation has just made; None clips nothing."""
    return values if limits is None else values.clamp_(*limits)


def warn_clipped(image: Tensor, limits: Limits) -> None:
    """Warns, once per process and limits, of images that clipping would destroy.

    Args:
        image: any floating-point tensor on the CPU, before its intensities are changed.
        limits: what they will be clipped to.
    """
    if limits in _warned:
        return
    values = image.reshape(-1)
    values = values[:: max(1, len(values) // LOOKED_AT)]
    lost = ((values < limits[0]) | (values > limits[1])).float().mean().item()
    if lost > LOST:
        _warned.add(limits)
        low, high = (bound.item() for bound in image.aminmax())
        warnings.warn(
            f"images of intensities from {low:g} to {high:g} are clipped to [{limits[0]:g}, {limits[1]:g}], which "
            f"{lost:.0%} of their voxels lie beyond; scale them to about [0, 1] before, or give the policy limits=None "
            "(of GCL's, maximum=None), which clips nothing",
            stacklevel=2,
        )
