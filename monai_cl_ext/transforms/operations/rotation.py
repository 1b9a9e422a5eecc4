# SPDX-License-Identifier: Apache-2.0
"""Rotations about the center, by any angle or by multiples of one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_number

from .matrices import rotation_matrix
from .operation import AffineOperation, uniform

FLAT = 3.0
"""Longest side over shortest side above which a patch is flat, nnU-Net's threshold of anisotropy."""


class Rotation(AffineOperation):
    """Random rotation about the center by angles from U(-degrees, degrees).

    In 2D one angle rotates the first axis towards the second, as ``torch.rot90`` does. In 3D three angles rotate about
    the first, then the second, then the third axis, in voxels of equal sides whatever the sides of the image: (0, 0, a)
    turns within the slices that lie along the last axis, as thick slices want it.

    One number is the largest angle about each axis, but turns a flat patch, whose longest side is more than three times
    its shortest, within its slices alone, as nnU-Net does: other turns move most of it out of the image. Three numbers
    turn every patch as they say.

    Args:
        degrees: largest angle, or in 3D one about each axis.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be rotated.
    """

    def __init__(self, degrees: float | Sequence[float], spatial_dims: int = 2, probability: float = 1.0) -> None:
        angles = 1 if spatial_dims == 2 else 3
        super().__init__([0.0] * angles, spatial_dims, probability)
        degrees = list(degrees) if isinstance(degrees, Sequence) else [degrees]
        if len(degrees) not in (1, angles) or not all(0 <= angle < float("inf") for angle in degrees):
            raise ValueError(f"Rotation in {spatial_dims}D takes one or {angles} angles of at least 0, found {degrees}")
        self.degrees = torch.tensor(degrees, dtype=torch.float32)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Angles in degrees, (B, 1) or (B, 3)."""
        return uniform((batch_size, self.columns), -self.degrees, self.degrees, generator)

    def scaled(self, strength: float) -> Rotation:
        """Smaller angles."""
        return Rotation([strength * angle for angle in self.degrees.tolist()], self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Rotations from output to input coordinates."""
        angles = within_slices(params, size) if len(self.degrees) == 1 else params
        return rotation_matrix(angles, self.spatial_dims)


class StepRotation(AffineOperation):
    """Random rotation by a multiple of ``step`` degrees, all multiples within 360 degrees equally likely.

    Args:
        step: angle in degrees that divides 360.
        spatial_dims: 2 or 3; the axes are those of ``Rotation``, each with a multiple of its own.
        probability: chance of each sample to be rotated; one of the multiples is 0.
        axes: in 3D the axes, 0 to 2, about which images are turned; None are all, of a flat patch the one across its
            slices, as in ``Rotation``.
    """

    def __init__(
        self,
        step: float = 90.0,
        spatial_dims: int = 2,
        probability: float = 1.0,
        axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__([0.0] * (1 if spatial_dims == 2 else 3), spatial_dims, probability)
        self.step = positive_number("StepRotation's step", step)
        if 360 % self.step:
            raise ValueError(f"StepRotation's step must divide 360 degrees, found {step!r}")
        self.axes = None if axes is None else tuple(axes)
        if self.axes is not None and (spatial_dims == 2 or not {*self.axes} <= {0, 1, 2}):
            raise ValueError(f"StepRotation takes axes of 0, 1 and 2 in 3D alone, found {axes!r} in {spatial_dims}D")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Angles in degrees, (B, 1) or (B, 3)."""
        multiples = torch.randint(int(360 / self.step), (batch_size, self.columns), generator=generator)
        turning = torch.tensor([self.axes is None or axis in self.axes for axis in range(self.columns)])
        return self.step * (multiples * turning).float()

    def scaled(self, strength: float) -> StepRotation:
        """The same angles, less often."""
        return StepRotation(self.step, self.spatial_dims, strength * self.probability, self.axes)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Rotations from output to input coordinates."""
        angles = within_slices(params, size) if self.axes is None else params
        return rotation_matrix(angles, self.spatial_dims)


def within_slices(angles: Tensor, size: Sequence[int]) -> Tensor:
    """The angles (B, 1) or (B, 3) about each axis, of a flat patch the one across its two most similar sides alone.

    Args:
        angles: in 2D, or of a patch that is not flat, they stay as they are.
        size: spatial size of the image in voxels.
    """
    if len(size) == 2 or max(size) <= FLAT * min(size):
        return angles
    short, middle, long = sorted(range(3), key=size.__getitem__)
    across = short if size[long] * size[short] <= size[middle] ** 2 else long
    return angles.where(torch.arange(3, device=angles.device) == across, 0.0)
