# SPDX-License-Identifier: Apache-2.0
"""The view policy of MoCo's second version, which SimSiam shares."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.color import Saturation
from ..operations.intensity_range import Limits
from .policy import ViewPolicy
from .strong_weak import strong_policy


def moco_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.2, 1.0),
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    color: bool = True,
    blur_probability: float = 0.5,
    solarize_probability: float = 0.0,
    limits: Limits | None = (0.0, 1.0),
) -> ViewPolicy:
    """The augmentation of MoCo v2 (Chen et al. 2020), which SimSiam (Chen and He 2021) shares.

    ``strong_policy`` with smaller crops and a saturation of 0.4.

    Args:
        crop: range of the box's area as a fraction of the image's.
        size, spatial_dims, mirror_axis, mirror_probability, color: as in ``strong_policy``.
        blur_probability, solarize_probability, limits: as in ``strong_policy``.
    """
    policy = strong_policy(
        size, spatial_dims, crop, mirror_axis, mirror_probability, color, blur_probability, solarize_probability, limits
    )
    return policy.replace(Saturation(0.6, 1.4, limits=limits)) if color else policy
