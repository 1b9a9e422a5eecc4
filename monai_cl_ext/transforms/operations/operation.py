# SPDX-License-Identifier: Apache-2.0
"""Base classes of batched operations: one parameter set per sample is drawn, then applied without randomness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor

from monai_cl_ext import arguments


class Operation(ABC):
    """Base class of the operations of a view policy: random parameters, and a pure function of them.

    ``make_params`` draws on the CPU from a seeded generator, so that CPU and GPU make the same views and parameters can
    be kept and replayed.

    Args:
        identity: the parameters that leave a sample unchanged, one number per column.
        probability: chance of each sample, independently, to be augmented.
    """

    def __init__(self, identity: Sequence[float] | Tensor, probability: float = 1.0) -> None:
        self.identity = torch.as_tensor(identity, dtype=torch.float32)
        self.probability = arguments.probability("probability", probability)

    @property
    def columns(self) -> int:
        """Parameters per sample, P."""
        return len(self.identity)

    @abstractmethod
    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Parameters of a batch in which every sample is augmented, (B, P)."""

    def make_params(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Parameters of a batch on the CPU, float32 (B, P); ``identity`` for samples that are not augmented."""
        drawn = self.draw(batch_size, generator)
        augmented = torch.rand(batch_size, 1, generator=generator) < self.probability
        return torch.where(augmented, drawn, self.identity)

    def scaled(self, strength: float) -> Operation:
        """The same operation with magnitudes between the identity, at 0, and its own, at 1.

        It consumes as many random numbers as the operation itself: with one generator the change grows with
        ``strength``.

        Raises:
            NotImplementedError: when an operation has no weaker form.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no weaker form; leave it out of policies that scale_policy scales, or give its "
            "class a method scaled(strength)"
        )


class IntensityOperation(Operation):
    """Base class of operations on the intensities of an image; labels and superpixels do not change."""

    by_channel: ClassVar[bool] = False
    """Whether the channels of an image may have parameters of their own, see ``ChannelWise``."""

    sets_range: ClassVar[bool] = False
    """Whether the range of its results does not depend on that of the image."""

    params_on_cpu: bool = False
    """Whether ``apply`` takes its parameters on the CPU, for operations that seed a device generator with them."""

    @property
    def clips_to(self) -> tuple[float, float] | None:
        """The range that it clips intensities to; None where it clips nothing."""
        return None

    @abstractmethod
    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The augmented image, of the same shape.

        Args:
            image: (B, C, *S), floating point.
            params: (B, P), on the device of the image and of its dtype; with ``params_on_cpu`` as ``make_params`` gave
                them.
        """


class SpatialOperation(Operation):
    """Base class of coordinate transforms, which act on images, labels and superpixels alike.

    Args:
        identity: as in ``Operation``.
        spatial_dims: 2 or 3.
        probability: as in ``Operation``.
    """

    def __init__(self, identity: Sequence[float] | Tensor, spatial_dims: int = 2, probability: float = 1.0) -> None:
        super().__init__(identity, probability)
        self.spatial_dims = arguments.one_of("spatial_dims", spatial_dims, (2, 3))


class AffineOperation(SpatialOperation):
    """Base class of spatial operations that one matrix per sample describes.

    Coordinates are in voxels from the center of the image, in the order of the array's axes, not in millimeters: where
    the axes differ in spacing, a rotation shears the anatomy.
    """

    @abstractmethod
    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Homogeneous matrices from output to input coordinates, float64 (B, d + 1, d + 1), on the CPU.

        Args:
            params: of ``make_params``, (B, P).
            size: spatial size of the image in voxels.
        """


def interval(name: str, low: float, high: float, above: float = float("-inf")) -> tuple[float, float]:
    """The finite bounds of U(low, high) as floats, or a ValueError that names the argument.

    Raises:
        ValueError: when a bound is not finite, low > high, or low is not above ``above``.
    """
    if not (isfinite(low) and isfinite(high) and above < low <= high):
        bound = "" if above == float("-inf") else f"{above:g} < "
        raise ValueError(f"{name} must be finite with {bound}low <= high, found low={low!r}, high={high!r}")
    return float(low), float(high)


def bounds(name: str, value: Sequence[float], above: float = float("-inf")) -> tuple[float, float]:
    """``interval`` of an argument that holds both bounds.

    Raises:
        TypeError: when it is not two numbers.
    """
    try:
        low, high = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be two numbers, the lower first, found {value!r}") from None
    return interval(name, low, high, above)


def blend(identity: float, value: float, strength: float) -> float:
    """Linear interpolation from ``identity``, at strength 0, to ``value``, at 1; exact at both."""
    return (1 - strength) * identity + strength * value


def uniform(size: tuple[int, int], low: float | Tensor, high: float | Tensor, generator: torch.Generator) -> Tensor:
    """Samples of U(low, high) on the CPU; bounds that are tensors hold one number per column."""
    return torch.rand(size, generator=generator) * (high - low) + low


def expand_like(params: Tensor, image: Tensor) -> Tensor:
    """A column (B, 1) in the shape (B, 1, ..., 1) that broadcasts over the image (B, C, *S)."""
    return params.reshape(-1, *[1] * (image.ndim - 1))


def scale_about(base: Tensor, image: Tensor, params: Tensor) -> Tensor:
    """base + factor * (image - base) with one factor per sample (B, 1); the image itself where that is 1.

    The base broadcasts over the image. On a CPU two passes take a third of the time of ``torch.lerp``.
    """
    factor = expand_like(params, image)
    return (image * factor).add_(base * (1 - factor))


def check_axes(operation: Operation, spatial_dims: int, image: Tensor) -> None:
    """A ValueError when the image (B, C, *S) has another number of spatial axes than the operation."""
    if image.ndim != 2 + spatial_dims:
        raise ValueError(
            f"{type(operation).__name__} has spatial_dims={spatial_dims}, found an image batch of shape "
            f"{tuple(image.shape)}: give it the number of spatial axes of (B, C, *S)"
        )
