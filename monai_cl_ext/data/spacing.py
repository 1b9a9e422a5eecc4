# SPDX-License-Identifier: Apache-2.0
"""Resamples a volume along its own axes, so that slices stay apart where they are sheared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import AFFINE_TOL, compute_shape_offset
from monai.transforms import InvertibleTransform, MapTransform, SpatialResample
from monai.utils import ensure_tuple_rep


class AxisSpacingd(MapTransform, InvertibleTransform):
    """Resamples volumes to a spacing along their own axes.

    As ``monai.transforms.Spacingd``, bit for bit but for rounding, where axes are at right angles. Where they are not
    (gantry tilt), ``Spacingd`` makes them so, and each slice becomes a mixture of its neighbors; this transform keeps
    the angles of the axes.

    Args:
        keys: of MetaTensors (C, *S).
        pixdim: spacing along each axis in mm; an axis with a number that is not positive stays as it is.
        mode: "bilinear" or "nearest", one for all keys or one each.
        allow_missing_keys: leave out keys that a case does not have.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixdim: Sequence[float],
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.pixdim = tuple(float(step) for step in pixdim)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.resample = SpatialResample(padding_mode="border", align_corners=False, dtype=np.float64)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with resampled volumes."""
        case = dict(data)
        for key, mode in self.key_iterator(case, self.mode):
            affine, shape = axis_grid(case[key], self.pixdim)
            case[key] = self.resample(case[key], dst_affine=torch.from_numpy(affine), spatial_size=shape, mode=mode)
        return case

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with volumes on their first grid."""
        case = dict(data)
        for key in self.key_iterator(case):
            case[key] = self.resample.inverse(case[key])
        return case


def axis_grid(volume: MetaTensor, pixdim: Sequence[float]) -> tuple[np.ndarray, list[int]]:
    """Affine and shape of a volume's box with another spacing along its own axes."""
    axes = volume.ndim - 1
    affine = np.eye(axes + 1)
    given = volume.affine.double().cpu().numpy()
    affine[:axes, :axes], affine[:axes, -1] = given[:axes, :axes], given[:axes, -1]
    steps = np.linalg.norm(affine[:axes, :axes], axis=0)
    scales = [
        1.0 if target <= 0 or abs(target - step) <= AFFINE_TOL else target / step
        for target, step in zip(pixdim, steps, strict=True)
    ]
    resampled = affine @ np.diag([*scales, 1.0])
    shape, offset = compute_shape_offset(volume.shape[1:], affine, resampled)
    resampled[:axes, -1] = offset
    return resampled, [int(length) for length in shape]
