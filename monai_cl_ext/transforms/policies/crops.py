# SPDX-License-Identifier: Apache-2.0
"""Policies of global and local crops, made of one view policy (multi-crop)."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.area_crop_resize import AreaCropResize
from ..operations.blur import GaussianBlur
from ..operations.intensity import Solarization
from ..operations.operation import Operation
from .policy import ViewPolicy
from .strong_weak import DINO_BLUR


def crop_policy(
    policy: ViewPolicy,
    size: int | Sequence[int],
    area: tuple[float, float] | None = None,
    blur_probability: float | None = None,
    solarize_probability: float = 0.0,
) -> ViewPolicy:
    """A policy of crops of one size, as DINO (Caron et al. 2021) makes its two global and its local crops.

    DINO blurs and solarizes its crops differently. That concerns policies with DINO's blur, of 0.1 to 2 voxels, such as
    ``strong_policy``; others keep their operations.

    Args:
        policy: the views' policy.
        size: spatial size of the crops.
        area: range of a crop's area as a fraction of the image's; None keeps the policy's own.
        blur_probability: chance of DINO's blur; None keeps the policy's own.
        solarize_probability: chance of solarization, behind that blur.

    Raises:
        ValueError: when an area is given and the policy has no random resized crop.
    """
    found = any(isinstance(operation, AreaCropResize) for operation in policy.operations)
    if area is not None and not found:
        names = ", ".join(type(operation).__name__ for operation in policy.operations) or "no operation"
        raise ValueError(
            f"local crops need a view_policy with an AreaCropResize, whose area they change, found {names}; add one, "
            "or set local_crops to 0"
        )
    operations: list[Operation] = []
    for operation in policy.operations:
        if isinstance(operation, AreaCropResize) and area is not None:
            operations.append(AreaCropResize(area, operation.ratio, operation.spatial_dims, operation.probability))
        elif isinstance(operation, GaussianBlur) and (operation.low, operation.high) == DINO_BLUR:
            chance = operation.probability if blur_probability is None else blur_probability
            operations += [GaussianBlur(*DINO_BLUR, operation.kernel_size, chance)] if chance else []
            operations += [Solarization(0.5, solarize_probability)] if solarize_probability else []
        else:
            operations.append(operation)
    return ViewPolicy(operations, size, policy.spatial_dims, policy.padding_mode)
