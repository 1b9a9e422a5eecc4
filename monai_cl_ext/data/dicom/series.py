# SPDX-License-Identifier: Apache-2.0
"""Reads a DICOM series as a volume."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from monai.data import MetaTensor

from monai_cl_ext.data.dicom.files import read_files
from monai_cl_ext.data.dicom.pixels import (
    brightened,
    check_image,
    is_quantity,
    padding_of,
    rescaled,
    shown_dark,
    stored_pixels,
)
from monai_cl_ext.data.dicom.places import arranged
from monai_cl_ext.data.dicom.slices import ONE_SERIES, Slice, check_elements, refuse_mixture, slices_of
from monai_cl_ext.data.volume_meta import as_volume

Files: TypeAlias = Sequence[tuple[Path, Any]]


def read_series(folder: Path, classes: bool = False) -> tuple[MetaTensor, list[int]]:
    """A DICOM series as a volume (1, columns, rows, slices), and the place of each slice among the files' names.

    Slices are sorted along the normal of their planes. The modality LUT, or slope and intercept, of each slice is
    applied, the window of the VOI LUT is not, since it clips. MONOCHROME1 is turned over, so that higher is brighter.
    Pixels that the files call padding become the darkest of the volume where they lie outside of its range.

    Args:
        folder: of one series, or one DICOM file. Frames of an enhanced file count as files do, in their order.
        classes: leaves the numbers of the modality LUT as they are, those of MONOCHROME1 and of padding too.

    Raises:
        ImportError: when pydicom is missing.
        ValueError: when files are damaged, are no gray images, or do not make one volume of even steps.
    """
    files = read_files(folder)
    slices: list[Slice] = []
    for path, dataset in files:
        check_elements(dataset, path)
        check_image(dataset, path)
        slices += slices_of(path, dataset)
    refuse_mixture(files, slices, folder)
    order, affine = arranged(slices, folder)
    values, padding = _numbers(files, slices, folder)
    if not classes:
        values = brightened(values, padding, _is_dark(files, slices, folder))
    volume = np.ascontiguousarray(values.transpose(2, 1, 0)[..., order])[None]
    return as_volume(torch.from_numpy(volume), folder, torch.as_tensor(affine)), order


def _numbers(files: Files, slices: Sequence[Slice], folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Float32 (slices, rows, columns) in the order of the files, and where it is padding, if any file names that."""
    values = np.empty((len(slices), *slices[0].size), np.float32)
    padding = None
    place = 0
    for path, dataset in files:
        stored = stored_pixels(dataset, path)
        padded = padding_of(stored, dataset)
        if padded is not None:
            padding = np.zeros(values.shape, bool) if padding is None else padding
            padding[place : place + len(stored)] = padded
        for frame in stored:
            values[place] = rescaled(frame, slices[place].header, f"{folder}: {slices[place].name}")
            place += 1
    return values, padding


def _is_dark(files: Files, slices: Sequence[Slice], folder: Path) -> bool:
    """Whether the numbers of a volume have to be turned over for higher ones to be brighter."""
    dark = [shown_dark(dataset, path) for path, dataset in files]
    if any(dark) and not all(dark):
        one, other = files[dark.index(True)][0].name, files[dark.index(False)][0].name
        raise ValueError(f"{folder}: {one} is MONOCHROME1 or INVERSE, but {other} is not; {ONE_SERIES}")
    if not dark[0] or not is_quantity(slices[0].header, files[0][1].get("Modality")):
        return dark[0]
    warnings.warn(
        f"{folder}: its files are MONOCHROME1 or INVERSE, to be shown dark where numbers are high, but hold Hounsfield "
        "units or another quantity, which is left as it is; check that tissue is brighter than air",
        stacklevel=3,
    )
    return False
