# SPDX-License-Identifier: Apache-2.0
"""A store is listed and emptied by commands."""

import os
import shutil
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from monai_cl_ext.data import SliceDataset, volume_transform
from monai_cl_ext.data.store.commands import StoreCommands, as_size
from monai_cl_ext.data.store.listing import holdings, remove


@pytest.fixture
def store(tmp_path):
    """Two volumes in one way, one of them in another, which was last used ten days ago."""
    (tmp_path / "data").mkdir()
    data = []
    for number in range(2):
        voxels = np.random.default_rng(number).random((12, 10, 8)).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "data" / f"p{number}.nii.gz")
        data.append({"image": str(tmp_path / "data" / f"p{number}.nii.gz")})
    folder = tmp_path / "store"
    SliceDataset(data[:1], volume_transform(), store=folder, progress=False)
    (old,) = folder.glob("*/settings.json")
    SliceDataset(data, volume_transform(image_size=(8, 6)), store=folder, progress=False)
    os.utime(old, (time.time() - 10 * 24 * 3600,) * 2)
    return folder


def test_what_is_held_is_counted(store, tmp_path):
    old, new = holdings(store)
    assert (old.volumes, new.volumes) == (1, 2) and 9.9 < old.idle_days < 10.1 and new.idle_days < 1
    assert new.shape == [8, 1, 8, 6] and new.place == str(tmp_path / "data")
    assert new.steps == ["LoadCased", "ScaleIntensityRangePercentilesd", "ResizeWithPadOrCropd"]
    assert new.size == sum(file.stat().st_size for file in new.folder.glob("*/*"))
    assert holdings(tmp_path / "nowhere") == []


def test_what_is_unused_for_long_is_removed(store):
    assert [holding.volumes for holding in remove(store, idle_days=5)] == [1]
    (left,) = holdings(store)
    assert remove(store, idle_days=5) == [] and [holding.folder for holding in remove(store, [left.folder.name])]
    assert not list(store.iterdir())


def test_a_volume_that_nobody_uses_is_removed_from_settings_in_use(store, tmp_path):
    (record,) = (path for path in _new(store).glob("*/volume.json") if "p0" in path.read_text())
    for path in _new(store).glob("*/volume.json"):
        os.utime(path, (time.time() - 10 * 24 * 3600,) * 2)
    data = [{"image": str(tmp_path / "data" / "p1.nii.gz")}]
    SliceDataset(data, volume_transform(image_size=(8, 6)), store=store, progress=False)
    size = sum(path.stat().st_size for path in record.parent.iterdir())
    removed = [holding for holding in remove(store, idle_days=5) if holding.folder == _new(store)]
    assert [(holding.volumes, holding.size) for holding in removed] == [(1, size)]
    assert 9.9 < removed[0].idle_days < 10.1 and not record.exists()
    assert [(holding.folder, holding.volumes) for holding in holdings(store)] == [(_new(store), 1)]


def test_an_image_that_serves_with_its_label_and_without_counts_once_and_stays(store, tmp_path):
    nib.save(nib.Nifti1Image(np.ones((12, 10, 8), np.uint8), np.eye(4)), tmp_path / "data" / "label.nii.gz")
    case = {"image": str(tmp_path / "data" / "p0.nii.gz"), "label": str(tmp_path / "data" / "label.nii.gz")}

    def served():
        return SliceDataset([case], volume_transform(image_size=(8, 6)), store=store, progress=False)[0]["image"]

    before = holdings(store)[1]
    assert served().any()
    (label,) = _new(store).glob("*/label.npy")
    own = sum(path.stat().st_size for path in label.parent.iterdir() if path.name != "image.npy")
    after = holdings(store)[1]
    assert (after.volumes, after.size) == (2, before.size + own)
    os.utime(label.parent / "volume.json", (time.time() - 10 * 24 * 3600,) * 2)
    removed = [holding for holding in remove(store, idle_days=5) if holding.folder == _new(store)]
    assert [(holding.volumes, holding.size) for holding in removed] == [(1, own)] and not label.parent.exists()
    assert holdings(store)[0].size == before.size
    assert served().any()


def _new(store):
    """The folder of the settings that were used last."""
    return max(store.glob("*/settings.json"), key=lambda path: path.stat().st_mtime).parent


def test_what_an_interrupted_removal_leaves_is_listed(store, monkeypatch):
    new, removed, rmtree = _new(store), [], shutil.rmtree

    def interrupted(path, **arguments):
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        rmtree(path, **arguments)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove(store, [new.name])
    monkeypatch.undo()
    assert [holding.volumes for holding in holdings(store) if holding.folder == new] == [1]
    remove(store, [new.name])
    assert not new.exists()


def test_an_unknown_name_is_refused_and_nothing_is_removed(store):
    name = holdings(store)[0].folder.name
    with pytest.raises(ValueError, match=f"has no 'other'; it has {name}"):
        remove(store, [name, "other"])
    assert len(holdings(store)) == 2
    with pytest.raises(ValueError, match="neither --name nor --unused_for_days"):
        StoreCommands().remove(store=str(store))


def test_the_command_line(store):
    def shown(*arguments):
        command = [sys.executable, "-m", "monai_cl_ext", "store", *arguments, "--store", str(store)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    listed = shown("list")
    assert "2 ways of preparation" in listed and "8 x 1 x 8 x 6" in listed and "LoadCased" in listed
    removed = shown("remove", "--unused_for_days", "0")
    assert removed.splitlines()[-1].endswith("removed") and holdings(store) == []


@pytest.mark.parametrize(
    "size, text", [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2.5e9, "2.5 GB"), (1e16, "1e+04 TB")]
)
def test_sizes_are_short(size, text):
    assert as_size(size) == text
