# SPDX-License-Identifier: Apache-2.0
"""A hash of what an image shows, by which it is known again however it was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from monai_cl_ext.data.file_names import VOLUMES
from monai_cl_ext.data.nifti import read_nifti
from monai_cl_ext.data.store.content import case_content, default_memory, remembered
from monai_cl_ext.data.store.folder import KEY_DIGITS


def image_hash(path: str | Path) -> str:
    """:func:`voxel_hash` of a NIfTI file; of a picture or a series the hash of its files.

    Raises:
        OSError, ValueError: when the file is absent or no whole NIfTI file.
    """
    if str(path).lower().endswith(VOLUMES):
        return voxel_hash(path)
    return case_content({"image": str(path)}, default_memory())


def voxel_hash(path: str | Path) -> str:
    """Of a NIfTI file's voxels as they are stored, so that another compression or header is still the same image.

    The default store remembers it as long as the file stays the same.

    Raises:
        OSError, ValueError: when the file is absent or no whole NIfTI file, see ``data.read_nifti``.
    """
    return remembered(Path(path).expanduser().absolute(), default_memory(), _hash, "voxels")


def _hash(path: Path) -> str:
    voxels = np.ascontiguousarray(np.asanyarray(read_nifti(path).dataobj))
    digest = hashlib.sha256(f"{voxels.shape}".encode())
    digest.update(np.ascontiguousarray(voxels.astype(np.float32)).tobytes())
    return digest.hexdigest()[:KEY_DIGITS]
