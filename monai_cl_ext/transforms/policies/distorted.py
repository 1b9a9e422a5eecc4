# SPDX-License-Identifier: Apache-2.0
"""The distortion of DiRA's inputs (Haghighi et al., CVPR 2022), behind any policy."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.corruption import PatchSwapping
from ..operations.cutout import BoxCutout
from ..operations.one_operation import OneOperation
from .policy import ViewPolicy


def distorted_policy(
    policy: ViewPolicy,
    cutout: float = 0.3,
    outer_cutout: float = 0.05,
    swapping: float = 0.3,
    box: tuple[float, float] = (10 / 224, 70 / 224),
    kept_box: tuple[float, float] = (154 / 224, 174 / 224),
    swaps: int = 10,
    patch: float | Sequence[float] = 12 / 224,
) -> ViewPolicy:
    """The policy with a last operation that an image is restored from: cut-out, outer cut-out, swapped patches or none.

    At most one of them for each sample. The sizes are those of DiRA's release, which has images of 224 pixels, as
    fractions of the image; its patches of 10 to 15 pixels have one size here, and do not overlap.

    Args:
        policy: what comes before.
        cutout, outer_cutout, swapping: probability of each distortion, of 1 in all with that of none.
        box: smallest and largest side of a box that is set to 0, as a fraction of each side of the image.
        kept_box: the same of a box that is kept by outer cut-out.
        swaps: pairs of patches that are swapped.
        patch: side of a patch as a fraction of each side of the image, or one for each axis; at least a voxel.
    """
    dims = policy.spatial_dims
    kinds = [BoxCutout(False, box, spatial_dims=dims), BoxCutout(True, kept_box, spatial_dims=dims)]
    distortion = OneOperation([*kinds, PatchSwapping(swaps, patch, dims)], [cutout, outer_cutout, swapping])
    return policy.with_operations([*policy.operations, distortion])
