# SPDX-License-Identifier: Apache-2.0
"""A check knows volumes of several channels, in one file or in several, and CT, and suggests their settings."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bad_folders import SHAPE, image_of, save, volume, write_folder
from monai.bundle import ConfigParser
from workflows import config

from monai_cl_ext.data import intensity_scaling, write_phantom
from monai_cl_ext.data_check.check import check_folder
from monai_cl_ext.data_check.report import as_text, write_check

PLAIN = {"num_classes", "slice_axis", "pixdim", "image_size"}


def as_ct(folder: Path, low: float = -1024.0) -> None:
    """Air around a body; what is labeled lies at 40 to 90 HU."""
    for number in range(8):
        name = f"p{number:02}"
        units = volume(number).astype(np.float32) / 201 * 50 + 40
        units[:3] = low
        save(units.astype(np.int16), image_of(folder, name))


@pytest.mark.parametrize("channel_files", [False, True])
def test_channels_are_counted_and_a_bundle_takes_the_setting(channel_files, tmp_path):
    folder = write_phantom(tmp_path / "data", patients=6, channels=3, channel_files=channel_files)
    checked = check_folder(folder)
    assert not checked.errors and checked.card["channels"] == {"3": 6} and len(checked.card["intensities"]) == 3
    settings = checked.suggestion.settings
    assert set(settings) == {*PLAIN, "in_channels"} and settings["in_channels"] == 3
    first = "patient001_frame01_0000.nii.gz" if channel_files else "patient001_frame01.nii.gz"
    assert Path(checked.cases[0].image).name == first
    write_check(checked, tmp_path / "out")
    assert "in_channels 3: the volumes have as many" in as_text(checked)
    parser = ConfigParser()
    parser.read_config([config("gcl_segmentation", "train"), tmp_path / "out" / "check_settings.json"])
    parser.update({"pretrained": ""})
    assert next(parser.get_parsed_content("network_def").parameters()).shape[1] == 3
    assert parser.get_parsed_content("train#preprocessing").transforms[0].channels == 3


def test_a_channel_of_one_intensity_is_warned_of_by_file_and_number(tmp_path):
    folder = write_phantom(tmp_path / "data", patients=6, channels=3)
    path = folder / "imagesTr" / "patient002_frame01.nii.gz"
    image = nib.load(path)
    values = np.asarray(image.dataobj).copy()
    values[..., 1] = 7
    nib.save(nib.Nifti1Image(values, image.affine), path)
    (told,) = [finding for finding in check_folder(folder).findings if finding.level == "warning"]
    assert told.files == (str(path),) and "in channel 1 of 0 to 2 nearly all voxels have one" in told.message
    assert "becomes 0" in told.message


def test_one_file_of_channels_with_a_bad_one_is_refused_by_name(tmp_path):
    folder = write_phantom(tmp_path / "data", patients=6, channels=2, channel_files=True)
    bad = folder / "imagesTr" / "patient003_frame01_0001.nii.gz"
    bad.write_bytes(bad.read_bytes()[:200])
    (error,) = check_folder(folder).errors
    assert error.files == (str(bad),) and str(bad) in error.message


@pytest.mark.parametrize("labels", [True, False])
def test_ct_is_known_by_its_air_and_gets_a_window(labels, tmp_path):
    folder = write_folder(tmp_path / "data", labels=labels)
    as_ct(folder)
    suggestion = check_folder(folder).suggestion
    low, high = suggestion.settings["window"]
    assert (low, high) == ((40.0, 90.0) if labels else (-160.0, 240.0))
    assert "-1024" in suggestion.reasons["window"] and "HU" in suggestion.reasons["window"]
    assert "in_channels" not in suggestion.settings
    intensity_scaling("image", json.loads(json.dumps(suggestion.settings["window"])))


@pytest.mark.parametrize("low", [0, -500])
def test_what_has_no_air_of_ct_has_no_window(low, tmp_path):
    folder = write_folder(tmp_path / "data")
    as_ct(folder, low)
    assert set(check_folder(folder).suggestion.settings) == PLAIN


def test_ct_of_one_labeled_intensity_gets_the_window_of_soft_tissue(tmp_path):
    folder = write_folder(tmp_path / "data")
    for number in range(8):
        units = np.full(SHAPE, 40, np.int16)
        units[:3] = np.random.default_rng(number).integers(-1000, 100, (3, *SHAPE[1:]))
        save(units, image_of(folder, f"p{number:02}"))
    assert check_folder(folder).suggestion.settings["window"] == [-160.0, 240.0]
