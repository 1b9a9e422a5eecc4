# SPDX-License-Identifier: Apache-2.0
"""A prediction and its label, voxel by voxel on the grid of the volume."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing

from monai_cl_ext.data.alignment import on_image_grid
from monai_cl_ext.data.class_numbers import whole_classes
from monai_cl_ext.data.file_names import VOLUMES, image_file
from monai_cl_ext.data.nifti import read_nifti
from monai_cl_ext.data.splits import Case


def aligned_labels(
    case: Case, prediction_file: Path, num_classes: int
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Prediction and label of a case on the grid of its image.

    The grid is the prediction's where the image is no NIfTI file. A prediction whose header holds no position lies,
    with a warning, where its image does, if it has its shape.

    Args:
        case: with "image" and "label".
        prediction_file: NIfTI.
        num_classes: background included.

    Returns:
        Two integer arrays of one shape, and the spacing in mm.

    Raises:
        ValueError: when one of them does not cover the box of the image, or has other classes; the message names it.
    """
    prediction, reference = (_classes(path, num_classes) for path in (prediction_file, case["label"]))
    image = _grid(image_file(case)) if _is_nifti(image_file(case)) else prediction
    if prediction.shape[1:] == image.shape[1:] and _has_no_position(prediction) and not _has_no_position(image):
        warnings.warn(
            f"{prediction_file}: its header holds no position (an identity affine); it is taken to lie where its image "
            f"{image_file(case)} does, voxel by voxel",
            stacklevel=2,
        )
        prediction.affine = image.affine
    pair = [
        on_image_grid(volume, image, path, image_file(case))[0].as_tensor().numpy().astype(np.uint8)
        for volume, path in ((prediction, prediction_file), (reference, case["label"]))
    ]
    return pair[0], pair[1], tuple(float(step) for step in affine_to_spacing(image.affine, r=image.ndim - 1))


def _is_nifti(path: str) -> bool:
    return path.lower().endswith(VOLUMES) and Path(path).is_file()


def _grid(path: str | Path) -> MetaTensor:
    """A volume (1, *S) with the grid of an image, without its voxels."""
    image = read_nifti(path)
    return MetaTensor(torch.zeros(1).expand(1, *image.shape[:3]), affine=image.affine)


def _classes(path: str | Path, num_classes: int) -> MetaTensor:
    """A label map (1, *S)."""
    image = read_nifti(path)
    if len(image.shape) > 3:
        raise ValueError(
            f"{path}: expected one class number a voxel, found {image.shape[3]} values; write the number of the class"
        )
    values = torch.from_numpy(np.asarray(image.dataobj, dtype=np.float32))
    return MetaTensor(whole_classes(values[None], path, num_classes), affine=image.affine)


def _has_no_position(volume: MetaTensor) -> bool:
    return bool(np.allclose(volume.affine, np.eye(len(volume.affine))))
