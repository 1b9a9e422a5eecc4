# SPDX-License-Identifier: Apache-2.0
"""A NIfTI file is read whole or refused in one sentence: the file, what was found, and what to do."""

import gzip
import re
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from bad_files import BAD, CHANNELS, SHAPE, plain, refuse_to_open, voxels

from monai_cl_ext.data import LoadCased, opening, read_nifti


def sentence(error, path):
    """The message, which must name the file and be no more than a sentence or two."""
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < 400
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", BAD)
def test_each_kind_of_bad_file_has_its_sentence(kind, tmp_path):
    bad = BAD[kind]
    path = tmp_path / f"a{bad.suffix}"
    bad.write(path)
    tracemalloc.start()
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_nifti(path)
    assert tracemalloc.get_traced_memory()[1] < 1e7  # nothing is allocated on the word of a header
    tracemalloc.stop()
    assert re.search(f"{bad.found}.*{bad.remedy}", sentence(error, path))
    with pytest.raises((ValueError, FileNotFoundError), match=f"{bad.found}.*{bad.remedy}"):
        LoadCased("image", channels=1)({"image": str(path)})


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.nii"
    path.write_bytes(plain())
    refuse_to_open(opening, str(path), monkeypatch)
    with pytest.raises(PermissionError) as error:
        read_nifti(path)
    assert "ask for permission" in sentence(error, path)


def test_a_path_that_no_file_can_have_is_no_such_file():
    with pytest.raises(FileNotFoundError, match="null character"):
        read_nifti("a\0.nii")
    with pytest.raises(OSError, match=r"x\.nii: cannot be opened \(File name too long\); check the disk and the path"):
        read_nifti("x" * 5000 + ".nii")


def test_a_volume_that_memory_cannot_hold_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.nii").write_bytes(plain())

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(nib.Nifti1Image, "from_bytes", full)
    monkeypatch.setattr(gzip.GzipFile, "read", full)
    with pytest.raises(ValueError, match=r"a\.nii: its voxels do not fit into memory"):
        read_nifti(tmp_path / "a.nii")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(plain()))
    with pytest.raises(ValueError, match=r"b\.nii\.gz: its voxels do not fit into memory"):
        read_nifti(tmp_path / "b.nii.gz")


@pytest.mark.parametrize("level", [0, 1, 9])
def test_whole_files_are_read_however_they_were_packed(level, tmp_path):
    content = plain()
    packed = {
        "at once": gzip.compress(content, level),
        "in parts": gzip.compress(content[:900], level) + gzip.compress(content[900:], level),
        "with zeros behind": gzip.compress(content, level) + bytes(512),
        "with more voxels than the header says": gzip.compress(content + bytes(100), level),
    }
    for number, data in enumerate(packed.values()):
        path = tmp_path / f"{number}.nii.gz"
        path.write_bytes(data)
        np.testing.assert_array_equal(np.asanyarray(read_nifti(path).dataobj), voxels())


def test_the_checksum_is_verified_behind_the_last_voxel(tmp_path):
    """The fault that nibabel does not see: it reads no further than the voxels."""
    path = tmp_path / "a.nii.gz"
    BAD["flipped voxel"].write(path)
    assert (np.asanyarray(nib.load(path).dataobj) != voxels()).sum() == 1
    with pytest.raises(ValueError, match="CRC"):
        read_nifti(path)


def test_channels_other_than_the_networks_are_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    CHANNELS.write(path)
    for channels in (1, 3):
        with pytest.raises(ValueError, match=CHANNELS.found.replace("expected 1", f"expected {channels}")) as error:
            LoadCased("image", channels=channels)({"image": str(path)})
        assert CHANNELS.remedy in sentence(error, path)
    for channels in (2, None):
        LoadCased("image", channels=channels)({"image": str(path)})
    nib.save(nib.Nifti1Image(voxels(shape=SHAPE[:2]), np.eye(4)), path)
    with pytest.raises(ValueError, match=r"three axes, found \(24, 24\)"):
        LoadCased("image", channels=1)({"image": str(path)})
    with pytest.raises(ValueError, match="channels must be"):
        LoadCased("image", channels=0)


def test_a_label_with_channels_or_of_another_shape_is_refused(tmp_path):
    case = {key: str(tmp_path / f"{key}.nii") for key in ("image", "label")}
    nib.save(nib.Nifti1Image(voxels(), np.eye(4)), case["image"])
    for shape, message in (((*SHAPE, 2), r"2 channel\(s\)"), ((24, 24, 7), "label that belongs to the image")):
        nib.save(nib.Nifti1Image(voxels(shape=shape), np.eye(4)), case["label"])
        with pytest.raises(ValueError, match=rf"label\.nii: .*{message}"):
            LoadCased(("image", "label"), channels=1)(case)
