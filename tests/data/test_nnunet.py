# SPDX-License-Identifier: Apache-2.0
"""Raw data sets of nnU-Net: channels in files of their own, dataset.json of both versions, names of labels."""

import json
import warnings

import nibabel as nib
import numpy as np
import pytest

from monai_cl_ext.data import LoadCased, SliceDataset, find_cases, split_patients, volume_transform
from monai_cl_ext.data.described_labels import class_names, label_names

V2 = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}


def write(path, seed, dtype=np.float32):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 2, (8, 8, 4)) if dtype == np.uint8 else np.random.default_rng(
        seed).random((8, 8, 4))  # fmt: skip
    nib.save(nib.Nifti1Image(values.astype(dtype), np.eye(4)), path)


@pytest.fixture(params=[1, 2])
def raw(tmp_path, request):
    """A raw data set of one or two channels, and how many there are."""
    for number in range(6):
        for channel in range(request.param):
            folder = "imagesTr" if number < 5 else "imagesTs"
            write(tmp_path / folder / f"c{number}_{channel:04d}.nii.gz", 10 * number + channel)
        if number < 5:
            write(tmp_path / "labelsTr" / f"c{number}.nii.gz", number, np.uint8)
    return tmp_path, request.param


def describe(folder, **content):
    (folder / "dataset.json").write_text(json.dumps(content))


def test_every_layout_gives_the_same_cases(raw):
    folder, channels = raw
    names = [f"c{number}" for number in range(5)]
    plain = find_cases(folder / "imagesTr", folder / "labelsTr")
    assert [case["patient"] for case in plain] == names
    files = [f"{folder}/imagesTr/c0_{channel:04d}.nii.gz" for channel in range(channels)]
    assert plain[0]["image"] == (files if channels > 1 else files[0])
    assert plain[0]["label"] == f"{folder}/labelsTr/c0.nii.gz"
    alone = find_cases(folder)  # without dataset.json
    training = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    describe(folder, training=training, test=["./imagesTs/c5.nii.gz"], labels={"0": "background", "1": "x"})
    first = find_cases(folder)
    channel_names = {str(number): "MR" for number in range(channels)}
    describe(folder, **{**V2, "channel_names": channel_names, "numTraining": 5})
    second = find_cases(folder)
    assert first == second == alone and first[:5] == plain
    assert first[5]["patient"] == "c5" and "label" not in first[5] and "imagesTs" in str(first[5]["image"])
    assert label_names(folder / "dataset.json") == {0: "background", 1: "x"}
    cases = find_cases(folder, patient_pattern=r"(c\d_0)")  # the user's pattern sees the name of the file
    assert [case["patient"] for case in cases] == [f"c{number}_0" for number in range(6)]


def test_channels_are_loaded_split_and_served(raw):
    folder, channels = raw
    cases = find_cases(folder / "imagesTr", folder / "labelsTr")
    loaded = LoadCased(channels=channels)({key: cases[1][key] for key in ("image", "label")})
    assert loaded["image"].shape == (channels, 8, 8, 4) and loaded["label"].shape == (1, 8, 8, 4)
    for channel in range(channels):
        expected = nib.load(folder / "imagesTr" / f"c1_{channel:04d}.nii.gz").get_fdata()
        assert np.allclose(loaded["image"][channel], expected)
    parts = split_patients(cases, 1, 1)
    data = SliceDataset(parts["train"], volume_transform(image_size=(8, 8), pixdim=None), progress=False)
    assert data[0]["image"].shape == (channels, 8, 8) and data.patients == [case["patient"] for case in parts["train"]]


def test_a_damaged_channel_is_named(raw):
    folder, channels = raw
    bad = folder / "imagesTr" / f"c1_{channels - 1:04d}.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"c1_{channels - 1:04d}\.nii\.gz.*cut off or damaged") as raised:
        SliceDataset(find_cases(folder / "imagesTr"), volume_transform(("image",)), progress=False)
    assert str(bad) in str(raised.value)


def test_a_missing_channel_is_named(tmp_path):
    for name in ("a_0000", "a_0001", "b_0000"):
        write(tmp_path / "imagesTr" / f"{name}.nii.gz", 0)
    for name in "ab":
        write(tmp_path / "labelsTr" / f"{name}.nii.gz", 0, np.uint8)
    missing = r"b_0000\.nii\.gz: expected of 'b' 2 channel\(s\), files that end in _0000 to _0001"
    with pytest.raises(ValueError, match=missing):
        find_cases(tmp_path / "imagesTr", tmp_path / "labelsTr")
    for content in (V2, {"training": [{"image": f"imagesTr/{name}.nii.gz"} for name in "ab"]}):
        describe(tmp_path, **content)
        with pytest.raises(ValueError, match=missing):
            find_cases(tmp_path)
    describe(tmp_path, **{**V2, "channel_names": ["T1"]})
    with pytest.raises(ValueError, match=r"expected of 'a' 1 channel\(s\)"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    "names, images",
    [(["a_0000", "b_0000"], 2), (["a_0000", "a_0001"], 2), (["a_0001", "b_0001"], 2), (["a_0000", "b_0000", "c"], 3),
     (["a_0000", "a_0001", "b_0000", "b_0001"], 2)],
)  # fmt: skip
def test_numbers_are_channels_only_where_they_count_alike(names, images, tmp_path, recwarn):
    for name in names:
        write(tmp_path / f"{name}.nii.gz", 0)
    cases = find_cases(tmp_path)
    assert len(cases) == images
    several = any(isinstance(case["image"], list) for case in cases)
    assert several == (len(names) == 4) == any("2 channels" in str(warning.message) for warning in recwarn)
    stripped = [case["patient"] for case in cases] == ["a", "b"]
    assert stripped == (names[0] == "a_0000" and names[-1][0] == "b")


def test_labels_with_whole_names_tell_that_numbers_are_no_channels(tmp_path):
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        write(tmp_path / "images" / f"{name}.nii.gz", 0)
        write(tmp_path / "labels" / f"{name}.nii.gz", 0, np.uint8)
    touched = find_cases(tmp_path / "images", tmp_path / "labels")
    assert len(touched) == 4 and all("label" in case for case in touched)


def test_mistakes_in_a_description_of_version_2_are_named(tmp_path):
    write(tmp_path / "imagesTr" / "a_0000.nii.gz", 0)
    write(tmp_path / "labelsTr" / "b.nii.gz", 0, np.uint8)
    one = {**V2, "channel_names": {"0": "T1"}}
    describe(tmp_path, **one)
    with pytest.raises(ValueError, match=r"labelsTr: no image for b; .*case_0000"):
        find_cases(tmp_path)
    describe(tmp_path, **{**one, "file_ending": ".nrrd"})
    with pytest.raises(ValueError, match=r"dataset\.json: file_ending is '\.nrrd'.*convert"):
        find_cases(tmp_path)
    describe(tmp_path, **{**one, "file_ending": ".nii"})
    with pytest.raises(FileNotFoundError, match=r"imagesTr holds no \.nii file"):
        find_cases(tmp_path)
    (tmp_path / "labelsTr" / "b.nii.gz").rename(tmp_path / "labelsTr" / "a.nii.gz")
    describe(tmp_path, **one, numTraining=3)
    with pytest.warns(UserWarning, match="numTraining is 3, found 1 cases"):
        assert len(find_cases(tmp_path)) == 1
    listed = {"a": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}}
    describe(tmp_path, **one, dataset=listed)
    (case,) = find_cases(tmp_path)
    assert case["patient"] == "a" and case["label"].endswith("labelsTr/a.nii.gz")
    describe(tmp_path, **one, dataset={"a": {"images": ["x.nii.gz"], "label": "labelsTr/a.nii.gz"}})
    with pytest.raises(FileNotFoundError, match=r"x\.nii\.gz: listed in .*dataset\.json"):
        find_cases(tmp_path)
    describe(tmp_path, **one, dataset={"a": {"images": []}})
    with pytest.raises(ValueError, match="for 'a'; repair that entry"):
        find_cases(tmp_path)


def test_an_image_that_is_listed_twice_is_taken_once(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.nii.gz", 0)
        write(tmp_path / "labels" / f"{name}.nii.gz", 0, np.uint8)
    labelled = {"image": "a.nii.gz", "label": "labels/a.nii.gz"}
    describe(tmp_path, training=[labelled, "b.nii.gz", labelled], test=["./a.nii.gz"])
    with pytest.warns(UserWarning, match=r"2 image\(s\) are listed twice.*a\.nii\.gz"):
        cases = find_cases(tmp_path)
    assert [case["patient"] for case in cases] == ["a", "b"] and cases[0]["label"].endswith("labels/a.nii.gz")
    describe(tmp_path, training=[labelled, {**labelled, "label": "labels/b.nii.gz"}])
    with pytest.raises(ValueError, match=r"lists .*a\.nii\.gz twice, with the labels"):
        find_cases(tmp_path)
    describe(tmp_path, training=[{"image": "a.nii.gz", "label": "a.nii.gz"}])
    with pytest.raises(ValueError, match=r"training\[0\] gives .*a\.nii\.gz as image and as label"):
        find_cases(tmp_path)


def test_channels_that_are_listed_each_by_itself_are_of_one_patient(tmp_path):
    for name in ("a_0000", "a_0001"):
        write(tmp_path / f"{name}.nii.gz", int(name[-1]))
    write(tmp_path / "labels" / "a.nii.gz", 0, np.uint8)
    names = ("a_0000.nii.gz", "a_0001.nii.gz")
    describe(tmp_path, training=[{"image": name, "label": "labels/a.nii.gz"} for name in names])
    assert [case["patient"] for case in find_cases(tmp_path)] == ["a", "a"]


@pytest.mark.parametrize(
    "labels",
    [{"0": "background", "1": "liver", "2": "tumor"}, {"background": 0, "liver": 1, "tumor": 2},
     {"background": "0", "tumor": "2", "liver": "1"}, ["background", "liver", "tumor"]],
)  # fmt: skip
def test_labels_have_names_whichever_way_round(labels, tmp_path):
    describe(tmp_path, labels=labels)
    assert label_names(tmp_path / "dataset.json") == {0: "background", 1: "liver", 2: "tumor"}


@pytest.mark.parametrize(
    "labels, found",
    [({"background": 0, "whole": [1, 2], "core": 2}, "'whole' is a region"), ({}, "does not name"),
     ({"a": 1, "b": 1}, "one number"), ({"1": "a", "2": "a"}, "one name"), ({"a": None}, "as numbers with names"),
     ({"a": 1.5}, "as numbers with names"), ({"background": 0, "ignore": 1}, "'ignore'"), (3, "does not name")],
)  # fmt: skip
def test_labels_that_are_not_read_are_named(labels, found, tmp_path):
    describe(tmp_path, labels=labels)
    with pytest.raises(ValueError, match=rf"dataset\.json.*{found}.*--classes"):
        label_names(tmp_path / "dataset.json")


NAMES = {"background": 0, "liver": 1, "tumor": 2}


@pytest.mark.parametrize(
    "labels, num_classes, names",
    [
        (NAMES, 3, ["liver", "tumor"]),
        ({"2": "tumor", "1": "liver"}, 3, ["liver", "tumor"]),
        (NAMES, 4, None),
        (NAMES, 2, None),
        ({"background": 0, "liver": 1, "tumor": 3}, 3, None),
        ({"background": 0, "whole": [1, 2], "core": 2}, 3, None),
        ({}, 3, None),
        ("liver", 3, None),
    ],
)
def test_classes_are_named_by_the_data_set_or_by_nobody(labels, num_classes, names, tmp_path):
    describe(tmp_path, labels=labels)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert class_names(str(tmp_path), num_classes) == names
    assert ["dataset.json: expected a name for each" in str(one.message) for one in told] == [True] * (names is None)


def test_a_folder_without_a_description_names_no_classes(tmp_path):
    assert class_names(str(tmp_path), 3) is None
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset\.json: not readable"):
        class_names(str(tmp_path), 3)
