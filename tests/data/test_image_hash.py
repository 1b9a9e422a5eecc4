# SPDX-License-Identifier: Apache-2.0
"""An image has one hash however it was written, and is read once for it."""

import os
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_cl_ext.data import read_nifti
from monai_cl_ext.data.image_hash import image_hash

module = sys.modules[image_hash.__module__]


def write(path: Path, seed: int) -> str:
    voxels = np.random.default_rng(seed).integers(0, 200, (6, 6, 3)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return str(path)


def test_a_hash_tells_images_apart(tmp_path):
    assert image_hash(write(tmp_path / "1.nii", 1)) == image_hash(write(tmp_path / "2.nii.gz", 1))
    assert image_hash(write(tmp_path / "3.nii", 3)) != image_hash(tmp_path / "1.nii")


def test_an_image_is_read_once_as_long_as_it_stays_the_same(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(module, "read_nifti", lambda path: read.append(path) or read_nifti(path))
    path = write(tmp_path / "1.nii", 1)
    first = image_hash(path)
    assert image_hash(path) == first and len(read) == 1
    write(tmp_path / "1.nii", 2)
    os.utime(path, ns=(1, 1))  # in whatever moment it was written
    assert image_hash(path) != first and len(read) == 2


def test_series_in_folders_are_known_by_their_files(tmp_path):
    for number in range(2):
        (tmp_path / f"series_{number}").mkdir()
        (tmp_path / f"series_{number}" / "slice_1.dcm").write_bytes(bytes([number, 1, 2]))
    shutil.copytree(tmp_path / "series_0", tmp_path / "copy")
    first, second, copy = (image_hash(tmp_path / name) for name in ("series_0", "series_1", "copy"))
    assert first == copy != second
