# SPDX-License-Identifier: Apache-2.0
"""Every kind of folder is recognised, and a sample is spread over its patients."""

import json

import advice_samples
import nibabel
import numpy as np
import pytest
import torch

from monai_cl_ext.advise import Sample, read_sample
from monai_cl_ext.advise.sample import spread_over
from monai_cl_ext.advise.slices import SpreadSlicesd, middle_squares


def test_a_second_image_of_a_patient_comes_after_the_first_of_all():
    patients = ["a"] * 6 + ["b"] * 2 + ["c"]
    chosen = [patients[place] for place in spread_over(patients, 9, seed=0)]
    assert sorted(chosen[:3]) == ["a", "b", "c"] and sorted(chosen[3:5]) == ["a", "b"] and chosen[5:] == ["a"] * 4
    assert len(set(spread_over(patients, 9, seed=0))) == 9
    assert len(spread_over(patients, 4, seed=0)) == 4
    assert spread_over(patients, 9, seed=0) == spread_over(patients, 9, seed=0) != spread_over(patients, 9, seed=1)


def read(folder, **options):
    return read_sample(folder, **{"images": 12, "size": 16, "progress": False, **options})


def pictures(folder, names, channels=3):
    for name, image in zip(names, advice_samples.smooth(len(names), channels), strict=True):
        advice_samples.write_picture(folder / name, image)


def test_class_folders(tmp_path):
    pictures(tmp_path, [f"{name}/{number}.png" for name in ("sick", "well") for number in range(8)])
    sample = read(tmp_path)
    assert sample.image.shape == (12, 3, 32, 32) and not sample.volumetric
    assert "photographs of class folders (16 of 16 patients); looked at: 12 of 12 patients" in sample.told
    assert len(sample.patient.unique()) == 12


def test_a_table_tells_patients_and_grey_photographs_have_one_channel(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    pictures(tmp_path, names, channels=1)
    rows = "\n".join(f"{name},p{number // 2}" for number, name in enumerate(names))
    (tmp_path / "labels.csv").write_text(f"image,patient\n{rows}\n")
    sample = read(tmp_path)
    assert sample.image.shape == (12, 1, 32, 32) and "photographs of a table (12 of 6 patients)" in sample.told
    assert len(sample.patient[:6].unique()) == 6
    for name, patient in zip(sample.names, sample.patient.tolist(), strict=True):
        assert int(name) // 2 == patient
    assert torch.equal(sample.image, read(tmp_path, table=tmp_path / "labels.csv").image)
    assert not torch.equal(sample.image, read(tmp_path, seed=1).image)


def test_a_plain_folder_of_pictures_with_patients_in_their_names(tmp_path):
    pictures(tmp_path, [f"p{number % 3}_{number}.png" for number in range(12)])
    assert "photographs of a folder (12 of 12 patients)" in read(tmp_path).told
    assert len(read(tmp_path, patient_pattern=r"(p\d)").patient.unique()) == 3


def volume(path, slices, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.moveaxis(advice_samples.smooth(slices, 1, 20, seed)[:, 0].numpy(), 0, -1)[:, :16]
    values[:, :, 0] = 0
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def test_volumes_give_slices_spread_over_patients(tmp_path):
    for patient in range(3):
        for frame in (1, 2):
            volume(tmp_path / f"patient{patient}_frame0{frame}.nii.gz", 9, 2 * patient + frame)
    sample = read(tmp_path)
    assert sample.image.shape == (12, 1, 32, 32) and sample.volumetric
    assert "volumes (6 of 3 patients); looked at: 12 slices along axis 2 of 3 patients" in sample.told
    assert sorted(sample.patient[:3].tolist()) == [0, 1, 2] and set(sample.names) == {f"patient{n}" for n in range(3)}
    assert sample.image.flatten(1).std(dim=1).min() > 0.05  # the empty slices are left out
    assert read(tmp_path, slice_axis=0).told.count("axis 0") == 1


def test_a_decathlon_is_read_by_its_list(tmp_path):
    for number in range(2):
        volume(tmp_path / f"imagesTr/case{number}.nii.gz", 9, number)
    entries = [{"image": f"imagesTr/case{number}.nii.gz"} for number in range(2)]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries}))
    assert "volumes (2 of 2 patients); looked at: 12 slices" in read(tmp_path).told


def test_slices_lie_in_the_middle_of_equal_parts_and_keep_their_axis():
    volume = torch.arange(10.0)[None, None, :, None] + torch.rand(1, 6, 10, 6) * 0.1
    found = SpreadSlicesd("image", count=2, side=6, slice_axis=1)({"image": volume})["image"]
    assert found.shape == (1, 6, 2, 6) and found.mean(dim=(0, 1, 3)).round().tolist() == [2, 7]
    assert SpreadSlicesd("image", 99, 6, 1)({"image": volume})["image"].shape == (1, 6, 10, 6)
    assert SpreadSlicesd("image", 3, 6, 2)({"image": torch.ones(1, 6, 6, 4)})["image"].shape == (1, 6, 6, 3)


def test_squares_are_cut_from_the_middle_and_do_not_alias():
    image = torch.zeros(1, 1, 8, 16)
    image[..., 4:12] = 1
    assert torch.equal(middle_squares(image, 8), torch.ones(1, 1, 8, 8))
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    assert (middle_squares(stripes, 16)[..., 1:-1] - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("make, error, message", [
    (lambda folder: None, FileNotFoundError, "expected a folder, found none"),
    (lambda folder: folder.mkdir(), FileNotFoundError, "found no labels.csv, dataset.json, NIfTI file"),
    (lambda folder: pictures(folder, ["a/1.png", "b/2.png"]), ValueError, r"found 2 image\(s\) of 2 patient"),
    (lambda folder: volume(folder / "one.nii.gz", 20, 0), ValueError, r"of 1 patient\(s\); pairs are compared"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(make, error, message, tmp_path):
    make(tmp_path / "data")
    with pytest.raises(error, match=message):
        read(tmp_path / "data")


def test_series_are_read_beside_a_table_and_not_together_with_one(tmp_path):
    (tmp_path / "labels.csv").write_text("patient,age\na,60\n")
    with pytest.raises(FileNotFoundError, match="DICOM"):
        read(tmp_path, series="*/DICOM")
    with pytest.raises(ValueError, match="found series and table"):
        read(tmp_path, series="*/DICOM", table=tmp_path / "labels.csv")


def test_a_damaged_picture_is_named_and_an_unused_pattern_refused(tmp_path):
    pictures(tmp_path, [f"a/{number}.png" for number in range(11)])
    with pytest.raises(ValueError, match="patient_pattern is not for photographs of class folders"):
        read(tmp_path, patient_pattern="(.)")
    (tmp_path / "a" / "11.png").write_text("no picture")
    with pytest.raises(ValueError, match="11.png: cannot be read as a picture"):
        read(tmp_path)


def test_a_sample_whose_parts_do_not_fit_is_refused():
    image = advice_samples.smooth(12)
    with pytest.raises(ValueError, match="N patients and N names"):
        Sample(image, torch.arange(11), ["x"] * 12, "")
    image[3, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        Sample(image, torch.arange(12), ["x"] * 12, "")
