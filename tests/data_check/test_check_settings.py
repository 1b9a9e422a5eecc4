# SPDX-License-Identifier: Apache-2.0
"""Settings to start from fit the data, and a bundle takes them."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bad_folders import SHAPE, affine, image_of, label, label_of, save, volume, write_folder
from monai.bundle import ConfigParser
from PIL import Image
from workflows import config, read

from monai_cl_ext.data import (
    PartitionBatchSampler,
    PatchDataset,
    RandomPatches,
    SliceDataset,
    find_cases,
    volume_transform,
    write_phantom,
)
from monai_cl_ext.data.cropping import cut_away
from monai_cl_ext.data.store.commands import as_size
from monai_cl_ext.data_check import suggestion
from monai_cl_ext.data_check.check import check_folder
from monai_cl_ext.data_check.report import as_text, write_check


def test_settings_follow_the_data(tmp_path):
    found = check_folder(write_folder(tmp_path / "data")).suggestion
    assert found.settings == {"num_classes": 3, "slice_axis": 2, "pixdim": [1.5, 1.5], "image_size": [32, 32]}
    assert set(found.reasons) == set(found.settings) and "largest spacing, 8 mm" in found.reasons["slice_axis"]
    assert found.cut == {1: 0.0, 2: 0.0}
    assert found.patch == suggestion.Patch([16, 16, 16], [1.5, 1.5, 8.0])
    assert found.half_patch == suggestion.Patch([16, 16, 16], [1.1, 0.93, 2.0])


def test_pictures_have_no_settings_in_3d_and_masks_of_two_gray_values_are_told_how_they_become_classes(tmp_path):
    for folder, values in (("images", [40, 90]), ("masks", [0, 255])):
        (tmp_path / folder).mkdir()
        for number in range(4):
            pixels = np.random.default_rng(number).choice(values, (40, 24)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"p{number}.png")
    checked = check_folder(tmp_path / "images", label_dir=str(tmp_path / "masks"))
    assert checked.suggestion.patch is None and checked.suggestion.half_patch is None
    assert "3D" not in as_text(checked) and "LoadCased(label_values=[0, 255]) and num_classes 2" in as_text(checked)
    assert "3D" not in write_check(checked, tmp_path / "check").read_text()


def test_the_half_patch_is_within_the_patch_and_leaves_spacing_that_serves():
    patch = suggestion.Patch([128, 128, 48], [1.0, 1.0, 2.0])
    found = suggestion._half_patch(patch, np.array([512.0, 200.0, 40.0]), np.array([1.0, 1.0, 2.0]))
    assert found == suggestion.Patch([128, 96, 16], [1.0, 1.0, 2.0])
    assert str(found) == "image_size [128, 96, 16], pixdim [1.0, 1.0, 2.0]"


def test_gcl_and_pcl_have_room_with_the_half_patch(tmp_path):
    """Heart-sized volumes of 8 to 12 slices: with the patch within the median volume all pairs of PCL are positive."""
    write_phantom(tmp_path, patients=6, seed=0)
    found = check_folder(tmp_path).suggestion

    def drawn(patch):
        transform = volume_transform(("image",), pixdim=patch.pixdim, slice_axis=None)
        data = [{"image": case["image"]} for case in find_cases(tmp_path)]
        return PatchDataset(data, RandomPatches(patch.image_size, 16), transform, progress=False)

    def positive(dataset):
        position = torch.stack([dataset[row]["position"] for row in range(len(dataset))])
        return (torch.cdist(position, position) < 0.35).double().mean()

    sampler = PartitionBatchSampler(drawn(found.half_patch).volume, drawn(found.half_patch).partition, 6)
    assert not sampler.left_out
    assert positive(drawn(found.half_patch)) < 0.7 and positive(drawn(found.patch)) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slice_axis_is_that_of_the_largest_spacing(axis, tmp_path):
    steps, shape = np.roll([8.0, 1.0, 1.0], axis), np.roll([8, 40, 40], axis)
    for number in range(3):
        save(volume(number, shape), tmp_path / f"v{number}.nii.gz", affine(steps))
    assert check_folder(tmp_path).suggestion.settings["slice_axis"] == axis
    for number in range(3):
        save(volume(number, shape), tmp_path / f"v{number}.nii.gz", affine((1.0, 1.0, 1.0)))
    assert check_folder(tmp_path).suggestion.settings["slice_axis"] == axis  # by the shape
    assert check_folder(tmp_path, slice_axis=1).suggestion.settings["slice_axis"] == 1


def test_labels_at_the_border_are_held_after_resampling(tmp_path):
    folder = write_folder(tmp_path / "data", count=6)
    shape, place = (96, 41, 8), affine((3.0, 1.5, 8.0))
    values = np.zeros(shape, np.uint8)
    values[0, 20, :4], values[60, 20, 0] = 2, 1
    save(volume(3, shape), image_of(folder), place)
    save(values, label_of(folder), place)
    found = check_folder(folder).suggestion
    assert found.settings["image_size"] == [208, 208] and found.settings["pixdim"] == [1.5, 1.5]
    prepare = volume_transform(image_size=found.settings["image_size"], pixdim=found.settings["pixdim"])
    (border,) = (case for case in find_cases(folder) if case["patient"] == "p03")
    before, after = (volume_transform()(border)["label"], prepare(border)["label"])
    assert cut_away(before, after) == {} and int((after == 2).sum()) >= 4
    narrow = volume_transform(image_size=[176, 176], pixdim=found.settings["pixdim"])(border)["label"]
    assert cut_away(before, narrow)[2] == (4, 4)  # a smaller size would lose it


def test_what_a_bounded_crop_cuts_away_is_counted(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "data")
    monkeypatch.setattr(suggestion, "LARGEST", 16)
    values = np.zeros(SHAPE, np.uint8)
    values[0:2, 10, 0], values[12, 10, 0] = 1, 2  # class 1 lies outside the middle 16
    for number in range(8):
        save(values, label_of(folder, f"p{number:02}"))
    found = check_folder(folder).suggestion
    assert found.settings["image_size"] == [16, 16] and "bounded" in found.reasons["image_size"]
    assert found.cut == {1: 1.0, 2: 0.0}


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("bundle, stage", [("pcl_segmentation", "train"), ("gcl_segmentation", "pretrain_global")])
def test_a_bundle_takes_the_overlay(bundle, stage, placed, tmp_path):
    folder = write_folder(tmp_path / "data")
    if not placed:
        for number in range(8):
            for path, values in ((image_of, volume(number)), (label_of, label())):
                save(values, path(folder, f"p{number:02}"), np.eye(4), "unknown")
    write_check(check_folder(folder), tmp_path / "out")
    overlay = tmp_path / "out" / "check_settings.json"
    settings = json.loads(overlay.read_text())
    assert set(settings) == {"num_classes", "slice_axis", "pixdim", "image_size"}
    assert set(settings) <= set(read(bundle, "train")) and (settings["pixdim"] is None) == (not placed)
    parser = ConfigParser()
    parser.read_config([config(bundle, stage), overlay])
    parser.update({"dataset_dir": str(folder), "device": "cpu"})
    dataset = parser.get_parsed_content("train#dataset")
    assert isinstance(dataset, SliceDataset) and dataset[0]["image"].shape == (1, *settings["image_size"])
    assert dataset.spacings[0] == pytest.approx((1.5, 1.5, 8.0) if placed else (1.0, 1.0, 1.0))
    assert parser.get_parsed_content("num_classes") == 3
    assert stage != "train" or int(dataset[3]["label"].max()) == 2


def test_the_disk_that_prepared_volumes_take_is_told_beforehand(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5e9) if path == tmp_path else None)
    checked = check_folder(write_phantom(tmp_path / "data", patients=4, seed=0))
    settings = checked.suggestion.settings
    transform = volume_transform(("image", "label"), settings["image_size"], settings["pixdim"])
    SliceDataset(find_cases(tmp_path / "data"), transform, store=tmp_path / "store", progress=False)
    arrays = [path for name in ("image", "label") for path in (tmp_path / "store").glob(f"*/*/{name}.npy")]
    whole = PatchDataset(find_cases(tmp_path / "data"), RandomPatches((8, 8, 8)), progress=False)
    assert checked.suggestion.stored_volume_bytes == 3 * sum(
        math.prod(shape) for shape in whole._volumes.shapes.tolist()
    )
    assert len(arrays) == 8
    slices, volumes = checked.suggestion.superpixel_bytes, checked.suggestion.supervoxel_bytes
    assert (slices, volumes) == (checked.suggestion.stored_bytes // 3, checked.suggestion.stored_volume_bytes * 2 // 3)
    assert f"{as_size(slices)} more with SuperCL's superpixels" in as_text(checked)
    assert f"of their files, {as_size(volumes)} more" in as_text(checked)
    assert checked.suggestion.stored_bytes == sum(path.stat().st_size - 128 for path in arrays)
    assert f"the store: {as_size(checked.suggestion.stored_bytes)} for the prepared slices" in as_text(checked)
    assert "not/there, where 5 GB are free" in as_text(checked)
    assert not any("not/there" in finding.message for finding in checked.findings)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=checked.suggestion.stored_bytes - 1))
    (warned,) = (finding for finding in check_folder(tmp_path / "data").findings if "not/there" in finding.message)
    assert warned.level == "warning" and "the prepared slices of all volumes take" in warned.message
