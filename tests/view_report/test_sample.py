# SPDX-License-Identifier: Apache-2.0
"""Every kind of folder is recognized, and a sample is spread over its patients."""

import json

import pytest
import torch
import view_samples
from view_samples import write_pictures, write_volume

from monai_cl_ext.data.any_folder import find_images
from monai_cl_ext.view_report.sample import middle_squares, read_sample, spread_over


def read(folder, images=12, slice_axis=2, seed=0):
    return read_sample(find_images(folder), images, 32, slice_axis, seed)


def test_a_second_image_of_a_patient_comes_after_the_first_of_all():
    patients = ["a"] * 6 + ["b"] * 2 + ["c"]
    chosen = [patients[place] for place in spread_over(patients, 9, seed=0)]
    assert sorted(chosen[:3]) == ["a", "b", "c"] and sorted(chosen[3:5]) == ["a", "b"] and chosen[5:] == ["a"] * 4
    assert len(set(spread_over(patients, 9, seed=0))) == 9
    assert len(spread_over(patients, 4, seed=0)) == 4
    assert spread_over(patients, 9, seed=0) == spread_over(patients, 9, seed=0) != spread_over(patients, 9, seed=1)


def test_class_folders(tmp_path):
    write_pictures(tmp_path, [f"{name}/{number}.png" for name in ("sick", "well") for number in range(8)])
    sample = read(tmp_path)
    assert sample.image.shape == (12, 3, 32, 32) and not sample.volumetric
    assert sample.told == "Found 16 files of 16 patients; used: 12 pictures of 12 patients."
    assert len(sample.patient.unique()) == 12


def test_a_table_tells_patients_and_gray_pictures_have_one_channel(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    write_pictures(tmp_path, names, channels=1)
    rows = "\n".join(f"{name},p{number // 2}" for number, name in enumerate(names))
    (tmp_path / "labels.csv").write_text(f"image,patient\n{rows}\n")
    sample = read(tmp_path)
    assert sample.image.shape == (12, 1, 32, 32) and sample.told.startswith("Found 12 files of 6 patients")
    assert len(sample.patient[:6].unique()) == 6
    for name, patient in zip(sample.names, sample.patient.tolist(), strict=True):
        assert int(name) // 2 == patient
    assert torch.equal(sample.image, read(tmp_path).image)
    assert not torch.equal(sample.image, read(tmp_path, seed=1).image)


def test_a_plain_folder_of_pictures_whose_names_hold_anything(tmp_path):
    write_pictures(tmp_path, [f"$p_{number}^{{é}} ü.png" for number in range(12)])
    sample = read(tmp_path)
    assert sample.told == "Found 12 files of 12 patients; used: 12 pictures of 12 patients."
    assert all(name.startswith("$p_") and name.endswith("^{é} ü") for name in sample.names)


def test_volumes_give_slices_spread_over_patients(tmp_path):
    for patient in range(3):
        for frame in (1, 2):
            write_volume(tmp_path / f"patient{patient}_frame0{frame}.nii.gz", 9, 2 * patient + frame)
    sample = read(tmp_path)
    assert sample.image.shape == (12, 1, 32, 32) and sample.volumetric
    assert sample.told == "Found 6 files of 3 patients; used: 12 slices along axis 2 of 3 patients."
    assert sorted(sample.patient[:3].tolist()) == [0, 1, 2] and set(sample.names) == {f"patient{n}" for n in range(3)}
    assert sample.image.flatten(1).float().std(dim=1).min() > 0.05  # the empty slices are left out
    assert "axis 0" in read(tmp_path, slice_axis=0).told


def test_a_decathlon_is_read_by_its_list_and_a_file_that_it_lacks_is_named(tmp_path):
    for number in range(2):
        write_volume(tmp_path / f"imagesTr/case{number}.nii.gz", 9, number)
    entries = [{"image": f"imagesTr/case{number}.nii.gz"} for number in range(2)]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries}))
    assert read(tmp_path).told.startswith("Found 2 files of 2 patients; used: 12 slices")
    (tmp_path / "imagesTr/case1.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="case1.nii.gz: listed as image"):
        find_images(tmp_path)


def test_slices_lie_in_the_middle_of_equal_parts_and_keep_their_axis():
    from monai.data import MetaTensor

    volume = MetaTensor(torch.arange(10.0)[None, None, :, None] + torch.rand(1, 6, 10, 6) * 0.1)
    found = middle_squares({"image": volume}, count=2, side=6, slice_axis=1)["image"]
    assert found.shape == (1, 6, 2, 6) and found.mean(dim=(0, 1, 3)).round().tolist() == [2, 7]
    assert middle_squares({"image": volume}, 99, 6, 1)["image"].shape == (1, 6, 10, 6)
    constant = MetaTensor(torch.ones(1, 6, 6, 4))
    assert middle_squares({"image": constant}, 3, 6, 2)["image"].shape == (1, 6, 6, 3)


def test_squares_are_cut_from_the_middle_and_do_not_alias():
    from monai.data import MetaTensor

    image = torch.zeros(1, 8, 16, 1)
    image[:, :, 4:12] = torch.linspace(1, 2, 8)[:, None, None]
    assert middle_squares({"image": MetaTensor(image)}, 1, 8, 2)["image"].min() == 1
    stripes = (torch.arange(64) % 2).float()[:, None].expand(1, 64, 64, 1)
    assert (middle_squares({"image": MetaTensor(stripes)}, 1, 16, 2)["image"][:, 1:-1] - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("make, error, message", [
    (lambda folder: None, FileNotFoundError, "found none; give a folder"),
    (lambda folder: folder.touch(), FileNotFoundError, "found a file; give a folder"),
    (lambda folder: folder.mkdir(), FileNotFoundError, "found no .nii or .nii.gz file.* or .*found no labels.csv"),
    (lambda folder: write_pictures(folder, ["a/1.png", "b/2.png"]), ValueError, r"found 2 image\(s\) of 2 patient"),
    (lambda folder: write_volume(folder / "one.nii.gz", 20, 0), ValueError, r"of 1 patient\(s\); give 10 or more"),
    (lambda folder: [write_pictures(folder, [f"{n}.png" for n in range(11)]), (folder / "x.png").write_text("no")],
     ValueError, "x.png: cannot be read as a picture"),
    (lambda folder: [folder.mkdir(), (folder / "labels.csv").write_text("patient,age\na,60\n")], ValueError,
     "expected the column 'image'"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(make, error, message, tmp_path):
    make(tmp_path / "data")
    with pytest.raises(error, match=message):
        read(tmp_path / "data")


@pytest.mark.parametrize("options, message", [
    ({"images": 0}, "images must be"), ({"side": 0}, "side must be"), ({"slice_axis": 3}, "slice_axis must be"),
])  # fmt: skip
def test_arguments_are_checked_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        read_sample([{"image": "absent.png", "patient": "a"}], **{"images": 12, "side": 16, **options})


def test_the_first_images_are_of_different_patients():
    assert len(view_samples.sample(per_patient=4).patient.unique()) == 4
