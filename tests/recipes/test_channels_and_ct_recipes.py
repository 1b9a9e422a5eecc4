# SPDX-License-Identifier: Apache-2.0
"""Training without a choice on volumes of several channels, also a file each, and on CT; predicting them."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from test_train_command import SUPERVISED, no_report, read, weights

from monai_cl_ext.bundles import metadata_of
from monai_cl_ext.data import read_nifti, write_phantom
from monai_cl_ext.recipes.folder import trained_metadata
from monai_cl_ext.recipes.images import listed_images
from monai_cl_ext.recipes.predict import predict
from monai_cl_ext.recipes.train import train

assert no_report
BRIEF = replace(
    SUPERVISED,
    pretrain_settings={"epochs": 1, "batches_per_epoch": 2},
    train_settings={"epochs": 1, "batches_per_epoch": 2},
)


@pytest.mark.slow
def test_channels_in_files_are_trained_on_and_predicted(tmp_path, no_report):
    data = write_phantom(tmp_path / "data", patients=5, channels=3, channel_files=True)
    root = tmp_path / "run"
    train(str(data), str(root), recipe=BRIEF)
    assert weights(root)["conv_0.conv_0.conv.weight"].shape[1] == 3
    for config in ("bundle/configs/train", "bundle/configs/inference", "pretraining/configs/pretrain_global"):
        assert read(root / f"{config}.json")["in_channels"] == 3
    inputs = read(root / "bundle" / "configs" / "metadata.json")["network_data_format"]["inputs"]["image"]
    assert inputs["num_channels"] == len(inputs["channel_def"]) == 3
    images, out = data / "imagesTr", tmp_path / "out"
    assert predict(str(root), str(images / "patient002_frame01_0000.nii.gz"), str(out)) == 1
    assert predict(str(root), str(images), str(out)) == 4  # one is there already
    assert predict(str(root), str(images), str(out)) == 0
    for number in range(1, 6):
        name = f"patient{number:03d}_frame01"
        assert read_nifti(out / f"{name}.nii.gz").shape == read_nifti(images / f"{name}_0000.nii.gz").shape
    (images / "patient002_frame01_0001.nii.gz").touch()
    with pytest.raises(ValueError, match=r"1 of 5 image\(s\) were not predicted"):
        predict(str(root), str(images), str(out))  # another file, so its label map is not of it


def test_ct_gets_its_window_in_every_stage(tmp_path, no_report):
    data = write_phantom(tmp_path / "data", patients=5)
    for path in (data / "imagesTr").iterdir():
        image = nib.load(path)
        values = np.asarray(image.dataobj).astype(float)
        values = -1000 + 1200 * values / values.max()
        nib.save(nib.Nifti1Image(values.astype(np.int16), image.affine), path)
    root = tmp_path / "run"
    train(str(data), str(root), recipe=BRIEF)
    windows = [
        read(root / f"{config}.json")["window"]
        for config in ("bundle/configs/train", "bundle/configs/inference", "pretraining/configs/pretrain_global")
    ]
    assert windows[0] == windows[1] == windows[2] and -1000 <= windows[0][0] < windows[0][1] <= 200
    assert any(choice["name"] == "window" for choice in json.loads((root / "run.json").read_text())["choices"])


@pytest.mark.parametrize("names, channels, expected", [
    (["a_0000", "a_0001", "b_0000", "b_0001"], 2, {"a": 2, "b": 2}),
    (["a_0000", "a_0001"], 1, {"a_0000": 1, "a_0001": 1}),
    (["a", "b"], 2, {"a": 1, "b": 1}),
    (["p_0001", "p_0002"], 2, {"p_0001": 1, "p_0002": 1}),  # patients, each a 4-D file
    (["a_0000", "a_0001", "a_0002"], 4, {"a_0000": 1, "a_0001": 1, "a_0002": 1}),  # again
    (["a_0000", "a_0001", "c"], 2, {"a_0000": 1, "a_0001": 1, "c": 1}),
])  # fmt: skip
def test_files_are_images_or_channels_of_them_by_the_network_and_their_names(names, channels, expected, tmp_path):
    for name in names:
        (tmp_path / f"{name}.nii.gz").touch()
    found = listed_images(str(tmp_path), channels)
    assert {name: len(volume.files) for name, volume in found.items()} == expected


def test_the_first_channel_alone_stands_for_its_image(tmp_path):
    for name in ("a_0000", "a_0001", "ab_0001", "c"):
        (tmp_path / f"{name}.nii.gz").touch()
    found = listed_images(str(tmp_path / "a_0000.nii.gz"), 2)
    assert [path.name for path in found["a"].files] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    for other in (1, 3):
        assert list(listed_images(str(tmp_path / "a_0000.nii.gz"), other)) == ["a_0000"]
    assert list(listed_images(str(tmp_path / "c.nii.gz"), 2)) == ["c"]


def test_an_image_without_one_of_its_channels_is_refused_by_name(tmp_path):
    for name in ("a_0000", "a_0001", "b_0000"):
        (tmp_path / f"{name}.nii.gz").touch()
    with pytest.raises(ValueError, match=r"b_0000\.nii\.gz: expected of 'b' 2 channel"):
        listed_images(str(tmp_path), 2)
    assert Path(next(iter(listed_images(str(tmp_path / "a_0000.nii.gz"), 2).values())).files[1]).name == "a_0001.nii.gz"


@pytest.mark.parametrize(
    "told, settings, modality, channels",
    [
        ({"modality": {"0": "FLAIR", "1": "T1w"}}, {"in_channels": 2}, "n/a", ["FLAIR", "T1w"]),
        ({"channel_names": ["T2", "$ADC"]}, {"in_channels": 2}, "n/a", ["T2", "_ADC"]),
        ({"modality": "MRI"}, {"in_channels": 2}, "MRI", ["channel 0", "channel 1"]),
        ({"channel_names": {"0": "CT"}}, {"window": [-100, 200]}, "CT", ["image"]),
        ({}, {"window": [-100, 200]}, "CT", ["image"]),
        ({"modality": {"0": "MRI"}}, {"window": [0, 900]}, "MRI", ["image"]),
        ({"modality": 3}, {"spatial_dims": 3}, "n/a", ["image"]),
    ],
)
def test_metadata_tell_what_dataset_json_tells_of_the_images(tmp_path, told, settings, modality, channels):
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    found = trained_metadata(metadata_of("supervised_segmentation"), ["liver"], tmp_path, "", settings)
    formats = found["network_data_format"]
    image = formats["inputs"]["image"]
    assert (image["modality"], list(image["channel_def"].values())) == (modality, channels)
    assert ("HU" in found["image_classes"]) == (modality == "CT")
    in_patches = settings.get("spatial_dims") == 3
    assert image["is_patch_data"] == formats["outputs"]["pred"]["is_patch_data"] == in_patches
