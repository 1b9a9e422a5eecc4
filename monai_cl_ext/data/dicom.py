# SPDX-License-Identifier: Apache-2.0
"""Reads a DICOM series as a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, PydicomReader
from monai.utils import OptionalImportError

from monai_cl_ext.data.file_names import name_order
from monai_cl_ext.data.volume_meta import as_volume


def read_series(folder: Path) -> tuple[MetaTensor, list[int]]:
    """A DICOM series as a volume (1, columns, rows, slices), and the place of each slice among the files' names."""
    try:
        reader = PydicomReader(fname_regex=None)  # a fresh one, since it keeps what it read and threads load volumes
    except OptionalImportError as error:
        raise ImportError(f"{folder}: needs the package pydicom: pip install 'monai-cl-ext[dicom]'") from error
    try:
        found = reader.read(folder)
    except IndexError as error:
        raise ValueError(
            f"{folder}: found no DICOM file and no picture; give the folder that holds a series"
        ) from error
    except Exception as error:  # pydicom has several
        raise _no_series(folder, error) from error
    files = sorted(found if isinstance(found, list) else [found], key=lambda file: name_order(Path(file.filename).name))
    if not all("InstanceNumber" in file for file in files):
        raise ValueError(f"{folder}: a DICOM file lacks InstanceNumber, so its place is not known; add or remove it")
    order = sorted(range(len(files)), key=lambda place: int(files[place].InstanceNumber))
    _check_places([files[place] for place in order], folder)
    try:
        array, meta = reader.get_data(found)
    except Exception as error:
        raise _no_series(folder, error) from error
    if array.ndim != (3 if len(files) > 1 else 2):
        raise ValueError(
            f"{folder}: its DICOM files make an array {array.shape}; give gray ones of a single frame each"
        )
    volume = torch.as_tensor(array.astype(np.float32))
    return as_volume(volume.reshape(1, *volume.shape[:2], -1), folder, torch.as_tensor(meta["affine"])), order


def _no_series(folder: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{folder}: cannot be read as a DICOM series ({type(error).__name__}: {error}); check that its files are whole "
        "and that no others lie among them"
    )


def _check_places(files: list[Any], folder: Path) -> None:
    """Refuses a folder of several series or moments: the places of its slices do not run one way."""
    places = np.array([int(file.InstanceNumber) for file in files])
    if all("ImagePositionPatient" in file and "ImageOrientationPatient" in file for file in files):
        along = np.array(files[0].ImageOrientationPatient, dtype=float)
        places = np.array([file.ImagePositionPatient for file in files], dtype=float) @ np.cross(along[:3], along[3:])
    steps = np.diff(places)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(
            f"{folder}: its slices, by InstanceNumber, do not run one way through the body but repeat or turn back; "
            "give each series a folder of its own"
        )
