# SPDX-License-Identifier: Apache-2.0
"""The basic view policy of Idris et al. (arXiv 2512.05992)."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.mirror import Mirror
from ..operations.operation import Operation
from ..operations.rotation import Rotation
from .policy import ViewPolicy


def basic_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float | Sequence[float] = 30.0,
    rotation_probability: float = 0.5,
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    padding_mode: str = "zeros",
) -> ViewPolicy:
    """The basic augmentation of Idris et al. (arXiv 2512.05992): resize, rotate and flip.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees, or in 3D one about each axis, as in ``Rotation``.
        rotation_probability: chance of a rotation; 0 disables it.
        mirror_axis: spatial axis along which left and right lie.
        mirror_probability: chance of a flip along it; 0 disables flips.
        padding_mode: what a rotated image holds in its corners: "zeros", or "border" for the nearest voxel's value.
    """
    operations: list[Operation] = []
    if rotation_probability:
        operations.append(Rotation(rotation, spatial_dims, rotation_probability))
    if mirror_probability:
        operations.append(Mirror(mirror_axis, spatial_dims, mirror_probability))
    return ViewPolicy(operations, size, spatial_dims, padding_mode)
