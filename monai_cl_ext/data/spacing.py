# SPDX-License-Identifier: Apache-2.0
"""Resamples a volume along its own axes, so that slices stay apart where they are sheared."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import AFFINE_TOL, compute_shape_offset, to_affine_nd
from monai.transforms import Spacingd

RIGHT_ANGLE = 1e-4  # the cosine that float32 leaves of one
LENGTH_UNIT = 0x07  # the bits of a NIfTI header's units that are of lengths

NO_SPACING = (
    "images whose header tells no spacing are resampled as if their voxels were of 1 mm; give pixdim [] (None in "
    "Python) to leave them as they are"
)


class AxisSpacingd(Spacingd):
    """MONAI's ``Spacingd`` that keeps the angles of sheared axes.

    Where axes are at right angles it is ``Spacingd``. Where they are not (gantry tilt), ``Spacingd`` makes them so, and
    a slice may become a mixture of its neighbors; here each axis is resampled along itself. Other keys of the case stay
    as they are: ``Spacingd`` takes ``image_path``, which MONAI Label adds, for meta data of ``image``, and fails.
    Arguments as there. Images whose header tells no spacing are warned of, since 1 mm stands for it.
    """

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """The case with resampled volumes."""
        volumes = [data[key] for key in self.key_iterator(dict(data))]
        targets = np.atleast_1d(self.spacing_transform.pixdim)
        known = not volumes or not isinstance(volumes[0], MetaTensor) or tells_spacing(volumes[0])
        if not known and ((targets > 0) & (targets != 1)).any():
            warnings.warn(NO_SPACING, stacklevel=2)
        if not any(isinstance(volume, MetaTensor) and is_sheared(volume) for volume in volumes):
            own = {key: data[key] for key in self.key_iterator(dict(data))}
            return {**data, **super().__call__(own, lazy=lazy)}
        case, spacing = dict(data), self.spacing_transform
        for key, mode in self.key_iterator(case, self.mode):
            affine, shape = axis_grid(case[key], spacing.pixdim)
            target = torch.from_numpy(affine)
            case[key] = spacing.sp_resample(case[key], dst_affine=target, spatial_size=shape, mode=mode)
        return case


def tells_spacing(volume: MetaTensor) -> bool:
    """Whether a header tells a spacing: what was written without has an identity affine and no unit, or no codes."""
    affine = volume.affine.double().cpu().numpy()
    if np.array_equal(affine, np.eye(len(affine))) and not int(volume.meta.get("xyzt_units", 0)) & LENGTH_UNIT:
        return False
    codes = [int(volume.meta[code]) for code in ("qform_code", "sform_code") if code in volume.meta]
    return not codes or any(codes) or not np.array_equal(np.linalg.norm(affine[:3, :3], axis=0), np.ones(3))


def is_sheared(volume: MetaTensor) -> bool:
    """Whether two axes of a volume are not at right angles."""
    axes = volume.ndim - 1
    columns = volume.affine.double().cpu().numpy()[:axes, :axes]
    columns = columns / np.linalg.norm(columns, axis=0)
    return bool(np.abs(columns.T @ columns - np.eye(axes)).max() > RIGHT_ANGLE)


def axis_grid(volume: MetaTensor, pixdim: Sequence[float]) -> tuple[np.ndarray, list[int]]:
    """Affine and shape of a volume's box with another spacing along its own axes."""
    axes = volume.ndim - 1
    affine = to_affine_nd(axes, volume.affine.double().cpu().numpy())
    steps = np.linalg.norm(affine[:axes, :axes], axis=0)
    scales = [
        1.0 if target <= 0 or abs(target - step) <= AFFINE_TOL else target / step
        for target, step in zip(pixdim, steps, strict=True)
    ]
    resampled = affine @ np.diag([*scales, 1.0])
    shape, offset = compute_shape_offset(volume.shape[1:], affine, resampled)
    resampled[:axes, -1] = offset
    return resampled, [int(length) for length in shape]
