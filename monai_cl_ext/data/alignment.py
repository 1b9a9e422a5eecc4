# SPDX-License-Identifier: Apache-2.0
"""Brings a label map to the grid of its image, where both cover the same box of the world."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from scipy.ndimage import affine_transform

EQUAL, SAME_BOX = 0.1, 0.5  # of a voxel of the image, at every corner
ROUNDING = 1e-3  # of headers in float32


def on_image_grid(label: MetaTensor, image: MetaTensor, label_file: Any, image_file: Any) -> MetaTensor:
    """The label voxel by voxel beside its image, by the affines of both.

    - Affines that differ by at most 0.1 of the image's voxel at every corner count as equal.
    - Another order or direction of axes is undone without interpolation.
    - Another sampling of the same box (its corners within half a voxel of the image's) is resampled by nearest
      neighbor, with a warning.

    Args:
        label: (C, *S) with its affine.
        image: (C, *T) with its affine; only its grid is looked at.
        label_file, image_file: for messages.

    Returns:
        (C, *T) with the affine of the image.

    Raises:
        ValueError: when the two do not cover the same box; the message names the label's file.
    """
    shape, own = tuple(image.shape[1:]), tuple(label.shape[1:])
    if own == shape and torch.equal(label.affine, image.affine):
        return label
    if len(shape) != len(own):
        raise _elsewhere(label, image, label_file, image_file)
    to_image = np.linalg.solve(_affine(image), _affine(label))  # voxels of the label -> voxels of the image
    if own == shape and _differ(to_image, own) <= EQUAL:
        return _placed(label.as_tensor(), label, image)
    values = label.as_tensor().cpu().numpy()
    orientation = io_orientation(to_image)
    if np.isnan(orientation).any():
        raise _elsewhere(label, image, label_file, image_file)
    values = np.stack([apply_orientation(channel, orientation) for channel in values])
    to_image = to_image @ inv_ornt_aff(orientation, own)
    if values.shape[1:] == shape and _differ(to_image, shape) <= EQUAL:
        return _placed(torch.from_numpy(np.ascontiguousarray(values)), label, image)
    if _box_differs(to_image, values.shape[1:], shape) > SAME_BOX + ROUNDING:
        raise _elsewhere(label, image, label_file, image_file)
    warnings.warn(
        f"{label_file}: sampled on another grid than its image {image_file}, {_grid(label)} against {_grid(image)}; it "
        "covers the same box and is resampled by nearest neighbor",
        stacklevel=2,
    )
    back = np.linalg.inv(to_image)
    resampled = [
        affine_transform(channel, back[:-1, :-1], back[:-1, -1], shape, order=0, mode="nearest") for channel in values
    ]
    return _placed(torch.from_numpy(np.stack(resampled)), label, image)


def _placed(values: torch.Tensor, label: MetaTensor, image: MetaTensor) -> MetaTensor:
    """The values with the label's meta data and the image's grid."""
    placed = MetaTensor(values.to(label.device), affine=image.affine.clone(), meta=dict(label.meta))
    placed.meta["affine"] = placed.affine
    for key in ("spatial_shape", "original_affine"):
        if key in image.meta:
            placed.meta[key] = image.meta[key]
    return placed


def _affine(volume: MetaTensor) -> np.ndarray:
    """Of the spatial axes of a volume, float64."""
    return to_affine_nd(volume.ndim - 1, volume.affine.double().cpu().numpy())


def _corners(shape: Sequence[int], outer: float) -> np.ndarray:
    """Homogeneous voxel coordinates (D + 1, 2^D) of the corners: of the voxels' centers, or their edges (outer 0.5)."""
    ends = [(-outer, length - 1 + outer) for length in shape]
    corners = np.array(list(itertools.product(*ends))).T
    return np.vstack([corners, np.ones(corners.shape[1])])


def _differ(to_image: np.ndarray, shape: Sequence[int]) -> float:
    """How far the corner voxels of two grids of one shape are apart, in voxels of the image."""
    corners = _corners(shape, 0.0)
    return float(np.abs(to_image @ corners - corners).max())


def _box_differs(to_image: np.ndarray, own: Sequence[int], shape: Sequence[int]) -> float:
    """How far the corners of two boxes are apart, in voxels of the image."""
    return float(np.abs(to_image @ _corners(own, 0.5) - _corners(shape, 0.5)).max())


def _grid(volume: MetaTensor) -> str:
    """Shape and spacing of a volume in words."""
    spacing = " x ".join(f"{step:.3g}" for step in np.linalg.norm(_affine(volume)[:-1, :-1], axis=0))
    return f"{tuple(volume.shape[1:])} voxels of {spacing} mm"


def _elsewhere(label: MetaTensor, image: MetaTensor, label_file: Any, image_file: Any) -> ValueError:
    reason = "they do not cover the same box of the world"
    identity = [np.allclose(_affine(volume), np.eye(volume.ndim)) for volume in (label, image)]
    if len(set(identity)) == 2 and label.ndim == image.ndim:
        which = "label" if identity[0] else "image"
        reason = f"the header of the {which} holds no position (an identity affine), that of the other does"
    return ValueError(
        f"{label_file}: label of {_grid(label)}, but its image {image_file} has {_grid(image)}, and {reason}; give the "
        "label that belongs to the image, or write it with the image's header"
    )
