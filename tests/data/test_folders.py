# SPDX-License-Identifier: Apache-2.0
"""Volumes are found in MSD folders and plain ones, and each mistake in a folder has its own message."""

import json
import os
import time
import warnings

import pytest

from monai_cl_ext.data import find_cases, nnunet
from monai_cl_ext.data.file_names import files_in


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def describe(folder, **content):
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))


def test_an_msd_folder_gives_labelled_and_unlabelled_cases_sorted(tmp_path):
    touch(tmp_path / "imagesTr", "b_frame01.nii.gz", "b_frame12.nii.gz")
    touch(tmp_path / "labelsTr", "b_frame01.nii.gz", "b_frame12.nii.gz")
    touch(tmp_path / "imagesTs", "a.nii.gz", "c.nii")
    names = ("b_frame12.nii.gz", "b_frame01.nii.gz")
    describe(
        tmp_path,
        training=[{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        test=["./imagesTs/a.nii.gz", {"image": "./imagesTs/c.nii"}],
    )
    cases = find_cases(tmp_path)
    assert [case["patient"] for case in cases] == ["b", "b", "a", "c"]
    assert [case["image"] for case in cases] == sorted(case["image"] for case in cases)
    assert cases[0]["label"] == str(tmp_path / "labelsTr" / "b_frame01.nii.gz")
    assert "label" not in cases[2] and "label" not in cases[3]


def test_a_plain_folder_pairs_labels_by_name_whatever_the_suffix(tmp_path):
    touch(tmp_path / "images", "p1.nii.gz", "p2.nii", "._p1.nii.gz", "notes.txt")
    touch(tmp_path / "labels", "p2.nii.gz")
    first, second = find_cases(tmp_path / "images", tmp_path / "labels")
    assert first == {"image": str(tmp_path / "images" / "p1.nii.gz"), "patient": "p1"}
    assert second["label"] == str(tmp_path / "labels" / "p2.nii.gz")
    assert all("label" not in case for case in find_cases(tmp_path / "images"))


def test_the_first_group_of_the_pattern_is_the_patient(tmp_path):
    touch(tmp_path, "site1-007-left.nii.gz", "site1-007-right.nii.gz")
    assert {case["patient"] for case in find_cases(tmp_path, patient_pattern=r"(\w+-\d+)-")} == {"site1-007"}
    with pytest.raises(ValueError, match=r"site1-007-left.*patient_pattern 'x\(y\)'"):
        find_cases(tmp_path, patient_pattern="x(y)")
    with pytest.raises(ValueError, match="add parentheses"):
        find_cases(tmp_path, patient_pattern="site")


def test_absent_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset_dir .*absent: expected a folder, found nothing"):
        find_cases(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"found no \.nii"):
        find_cases(tmp_path)
    touch(tmp_path, "p1.nii.gz")
    with pytest.raises(FileNotFoundError, match="found a file"):
        find_cases(tmp_path / "p1.nii.gz")
    with pytest.raises(FileNotFoundError, match="label_dir .*absent"):
        find_cases(tmp_path, tmp_path / "absent")
    (tmp_path / "labels").mkdir()
    with pytest.raises(FileNotFoundError, match="folder that holds the labels"):
        find_cases(tmp_path, tmp_path / "labels")


def test_a_label_without_an_image_is_named(tmp_path):
    touch(tmp_path / "images", "p1.nii.gz")
    touch(tmp_path / "labels", "p1.nii.gz", "p2.nii.gz")
    with pytest.raises(ValueError, match=r"1 label\(s\) without an image .*p2\.nii\.gz"):
        find_cases(tmp_path / "images", tmp_path / "labels")


def test_a_listed_file_that_is_absent_is_named(tmp_path):
    touch(tmp_path / "imagesTr", "p1.nii.gz")
    describe(tmp_path, training=[{"image": "imagesTr/p1.nii.gz", "label": "labelsTr/p1.nii.gz"}])
    with pytest.raises(FileNotFoundError, match=r"labelsTr/p1\.nii\.gz: listed as label in .*dataset\.json"):
        find_cases(tmp_path)
    describe(tmp_path, training=[{"image": "imagesTr/p2.nii.gz"}])
    with pytest.raises(FileNotFoundError, match=r"imagesTr/p2\.nii\.gz: listed as image"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    "text, found",
    [("", "the file is empty"), ("{", "not readable as JSON"), ("[" * 100000, "not readable as JSON"),
     ("[]", "found a list"), ("3", "found a int"), ("{}", "found none"), ('{"training": []}', "found none"),
     ('{"training": {"a": 1}}', "as 'training' a list.*{'a': 1}"), ('{"training": null}', "as 'training'.*None"),
     ('{"training": ["a.nii"], "test": 1}', "as 'test' a list.*found 1")],
)  # fmt: skip
def test_a_malformed_description_is_named(text, found, tmp_path):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=rf"dataset\.json: .*{found}.*repair"):
        find_cases(tmp_path)


@pytest.mark.parametrize("key", ["image", "label"])
@pytest.mark.parametrize("value", ["", " ", None, 3, [], ["a.nii", "b.nii"], {}, True])
def test_an_entry_with_a_wrong_path_is_shown(key, value, tmp_path):
    touch(tmp_path, "a.nii")
    good = {"image": "a.nii"}
    describe(tmp_path, training=[good, {**good, key: value}])
    with pytest.raises(
        ValueError, match=rf"dataset\.json: expected training\[1\] to be .*'{key}': .*repair that entry"
    ):
        find_cases(tmp_path)


@pytest.mark.parametrize("entry", ["", 3, None, [], ["a.nii"], {}, {"label": "a.nii"}, {"Image": "a.nii"}])
def test_an_entry_without_an_image_is_shown(entry, tmp_path):
    touch(tmp_path, "a.nii")
    describe(tmp_path, training=["a.nii"], test=["a.nii", entry])
    with pytest.raises(ValueError, match=r"dataset\.json: expected test\[1\] to be .*repair that entry"):
        find_cases(tmp_path)


def test_a_description_of_windows_is_read_and_other_bytes_are_named(tmp_path):
    touch(tmp_path, "a.nii")
    text = json.dumps({"training": ["a.nii"]})
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8-sig")
    assert [case["patient"] for case in find_cases(tmp_path)] == ["a"]
    (tmp_path / "dataset.json").write_text(text, encoding="utf-16")
    with pytest.raises(ValueError, match=r"dataset\.json: not readable as JSON.*repair"):
        find_cases(tmp_path)


# links


def test_a_link_that_leads_to_itself_is_named(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FileNotFoundError, match="dataset_dir .*loop: expected a folder, found a link to nowhere"):
        find_cases(tmp_path / "loop")
    folder = tmp_path / "data"
    touch(folder, "a.nii")
    with pytest.raises(FileNotFoundError, match="label_dir .*loop: expected a folder"):
        find_cases(folder, tmp_path / "loop")
    (folder / "dataset.json").symlink_to("dataset.json")
    with pytest.raises(ValueError, match=r"dataset\.json: expected a file, found a folder or a link to nowhere"):
        find_cases(folder)
    (folder / "dataset.json").unlink()
    describe(folder, training=["a.nii", "loop.nii"])
    (folder / "loop.nii").symlink_to("loop.nii")
    with pytest.raises(FileNotFoundError, match=r"loop\.nii: listed as image in .*restore it"):
        find_cases(folder)


def test_volumes_that_link_to_themselves_are_listed_for_the_reader_to_name(tmp_path):
    touch(tmp_path / "images", "a.nii.gz")
    touch(tmp_path / "labels", "a.nii.gz")
    for room in ("images", "labels"):
        (tmp_path / room / "b.nii.gz").symlink_to("b.nii.gz")
    assert [case["patient"] for case in find_cases(tmp_path / "images", tmp_path / "labels")] == ["a", "b"]


def test_links_to_folders_above_are_no_further_series(tmp_path):
    series_folders(tmp_path)
    (tmp_path / "MR" / "again").symlink_to(tmp_path / "MR")
    (tmp_path / "MR" / "0").symlink_to(tmp_path / "MR" / "1")
    cases = find_cases(tmp_path / "MR", series="**/T2SPIR/DICOM_anon")
    assert len(cases) == len({os.path.realpath(case["image"]) for case in cases}) == 3
    cases = find_cases(tmp_path / "MR", series="*/*/*/DICOM_anon")
    assert len(cases) == len({os.path.realpath(case["image"]) for case in cases})
    touch(tmp_path / "plain", "a.nii")
    (tmp_path / "plain" / "up").symlink_to(tmp_path)
    assert [case["patient"] for case in find_cases(tmp_path / "plain")] == ["a"]


@pytest.mark.parametrize("arguments", [{"series": "/"}, {"series": ""}, {"patient_pattern": "("}])
def test_patterns_that_are_none_are_named(arguments, tmp_path):
    touch(tmp_path, "a.nii")
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} '[/(]?'"):
        find_cases(tmp_path, **arguments)


def test_label_dir_beside_a_description_is_refused(tmp_path):
    describe(tmp_path, training=[])
    with pytest.raises(ValueError, match="leave label_dir out"):
        find_cases(tmp_path, tmp_path)


# pictures and series


def test_pictures_pair_with_masks_by_a_suffix(tmp_path):
    touch(tmp_path / "images", "ISIC_2.jpg", "ISIC_10.JPG", "ISIC_3.jpg", "license.txt")
    touch(tmp_path / "masks", "ISIC_2_segmentation.png", "ISIC_10_segmentation.png", "ISIC_3_superpixels.png")
    cases = find_cases(tmp_path / "images", tmp_path / "masks", label_suffix="_segmentation")
    assert [case["patient"] for case in cases] == ["ISIC_10", "ISIC_2", "ISIC_3"]
    assert cases[1]["label"] == str(tmp_path / "masks" / "ISIC_2_segmentation.png") and "label" not in cases[2]
    with pytest.raises(ValueError, match=r"3 label\(s\) without an image.*label_suffix"):
        find_cases(tmp_path / "images", tmp_path / "masks")
    with pytest.raises(FileNotFoundError, match="masks: found no .*'_mask'.*label_suffix"):
        find_cases(tmp_path / "images", tmp_path / "masks", label_suffix="_mask")


def test_images_and_masks_may_lie_side_by_side(tmp_path):
    touch(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png")
    cases = find_cases(tmp_path, tmp_path / ".." / tmp_path.name, label_suffix="_mask")
    assert [case["patient"] for case in cases] == ["a", "b"]
    assert [case["label"] for case in cases] == [
        str(tmp_path / ".." / tmp_path.name / name) for name in ("a_mask.png", "b_mask.png")
    ]
    with pytest.raises(FileNotFoundError, match="found no .nii"):
        find_cases(tmp_path, tmp_path)


def test_volumes_go_before_pictures_of_them(tmp_path):
    touch(tmp_path / "images", "a.nii.gz", "a.png", "b.nii.gz", "b.png")
    touch(tmp_path / "labels", "a.nii.gz", "a.png")
    cases = find_cases(tmp_path / "images", tmp_path / "labels")
    assert [(case["patient"], case.get("label", "")[-8:]) for case in cases] == [("a", "a.nii.gz"), ("b", "")]


def series_folders(folder):
    for name in ("1", "10", "2"):
        (folder / "MR" / name / "T2SPIR" / "DICOM_anon").mkdir(parents=True)
        (folder / "MR" / name / "T1DUAL" / "DICOM_anon" / "InPhase").mkdir(parents=True)
    for name in ("1", "10"):
        (folder / "MR" / name / "T2SPIR" / "Ground").mkdir()


def test_series_are_folders_and_patients_the_first_wildcard(tmp_path):
    series_folders(tmp_path)
    for root, series in ((tmp_path / "MR", "*/T2SPIR/DICOM_anon"), (tmp_path, "MR/*/T2SPIR/DICOM_anon")):
        cases = find_cases(root, label_dir="../Ground", series=series)
        assert [case["patient"] for case in cases] == ["1", "10", "2"]
        assert cases[1]["image"] == str(tmp_path / "MR" / "10" / "T2SPIR" / "DICOM_anon")
        assert cases[1]["label"] == str(tmp_path / "MR" / "10" / "T2SPIR" / "Ground") and "label" not in cases[2]
    both = find_cases(tmp_path / "MR", series="*/T*/DICOM_anon")
    assert [case["patient"] for case in both] == ["1", "1", "10", "10", "2", "2"]
    (only,) = find_cases(tmp_path, series="MR/2/T2SPIR/DICOM_anon")
    assert only["patient"] == "MR"


def test_mistakes_about_series_have_their_own_messages(tmp_path):
    series_folders(tmp_path)
    with pytest.raises(FileNotFoundError, match="give .* a pattern of theirs as series"):
        find_cases(tmp_path / "MR")
    with pytest.raises(FileNotFoundError, match=r"found no folder that fits series '\*/T2SPIR'"):
        find_cases(tmp_path, series="*/T2SPIR")
    with pytest.raises(FileNotFoundError, match="DICOM_anon/Ground: found no label there"):
        find_cases(tmp_path / "MR", label_dir="Ground", series="*/T2SPIR/DICOM_anon")
    for wrong in ({"label_dir": tmp_path / "MR"}, {"label_dir": "../Ground", "label_suffix": "_a"}):
        with pytest.raises(ValueError, match="with series, label_dir leads"):
            find_cases(tmp_path / "MR", series="*/T2SPIR/DICOM_anon", **wrong)


# real data


def test_acdc_has_two_frames_of_each_patient(real_data):
    cases = find_cases(real_data / "ACDC")
    patients = [case["patient"] for case in cases]
    assert len(cases) == 160 and len(set(patients)) == 80
    assert all(patients.count(patient) == 2 for patient in set(patients))
    assert all("label" in case for case in cases)


def test_hippocampus_has_one_volume_of_each_patient(real_data):
    cases = find_cases(real_data / "Task04_Hippocampus")
    assert len(cases) == len({case["patient"] for case in cases}) == 195


def test_volumes_below_a_folder_that_holds_some_itself_are_warned_of(tmp_path):
    touch(tmp_path / "P1", "P1.nii.gz")
    touch(tmp_path / "P2", "P2.nii.gz")
    touch(tmp_path, "overview.png")
    assert [case["patient"] for case in find_cases(tmp_path)] == ["P1", "P2"]
    touch(tmp_path, "template.nii.gz")
    with pytest.warns(UserWarning, match=r"2 volume\(s\) in folders below it are left out, such as .*P1.nii.gz, since"):
        assert [case["patient"] for case in find_cases(tmp_path)] == ["template"]


def test_labels_in_a_folder_below_that_of_the_images_are_no_volumes_left_out(tmp_path):
    touch(tmp_path, "a.nii.gz")
    touch(tmp_path / "labels", "a.nii.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (case,) = find_cases(tmp_path, tmp_path / "labels")
    assert case["label"] == str(tmp_path / "labels" / "a.nii.gz")


def test_each_folder_of_a_description_is_listed_once(tmp_path, monkeypatch):
    names = [f"case{number}" for number in range(5)]
    touch(tmp_path / "imagesTr", *(f"{name}_000{channel}.nii.gz" for name in names for channel in range(2)))
    describe(tmp_path, training=[{"image": f"imagesTr/{name}.nii.gz"} for name in names])
    listed = []
    monkeypatch.setattr(
        nnunet, "files_in", lambda folder, suffixes: listed.append(folder) or files_in(folder, suffixes)
    )
    assert [len(case["image"]) for case in find_cases(tmp_path)] == [2] * 5 and len(listed) == 1


def test_many_labels_beside_images_are_paired_in_a_moment(tmp_path):
    names = [f"case{number:04}" for number in range(3000)]
    touch(tmp_path, *(f"{name}{end}.nii.gz" for name in names for end in ("", "_seg")))
    begun = time.perf_counter()
    with pytest.warns(UserWarning, match="3000 .* taken as"):
        assert sum("label" in case for case in find_cases(tmp_path)) == 3000
    assert time.perf_counter() - begun < 10  # 0.3 s; each label against each image takes minutes
