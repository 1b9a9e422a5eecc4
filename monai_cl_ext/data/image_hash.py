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
    """Of a NIfTI file's voxels as they are stored, whatever its compression and header; else of the content of files.

    The default store remembers it as long as the file stays the same.

    Raises:
        OSError, ValueError: when the file is absent or no whole NIfTI file, see ``data.read_nifti``.
    """
    if not str(path).lower().endswith(VOLUMES):
        return case_content({"image": str(path)}, default_memory())
    return remembered(Path(path).expanduser().absolute(), default_memory(), _voxel_hash, "voxels")


def _voxel_hash(path: Path) -> str:
    voxels = np.ascontiguousarray(np.asanyarray(read_nifti(path).dataobj))
    digest = hashlib.sha256(f"{voxels.shape}".encode())
    digest.update(np.ascontiguousarray(voxels.astype(np.float32)).tobytes())
    return digest.hexdigest()[:KEY_DIGITS]
