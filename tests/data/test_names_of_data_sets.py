# SPDX-License-Identifier: Apache-2.0
"""Names by which data sets tell patients, label maps, channels and repeated files."""

import warnings
from pathlib import Path

import pytest

from monai_cl_ext.data import find_cases


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, *arguments, **options):
    """Cases as (names of the image's files, name of the label, patient), and the warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        cases = find_cases(folder, *arguments, **options)
    images = [case["image"] if isinstance(case["image"], list) else [case["image"]] for case in cases]
    told = [str(warning.message) for warning in seen]
    return [
        (" ".join(Path(path).name for path in paths), Path(case.get("label", "-")).name, case["patient"])
        for paths, case in zip(images, cases, strict=True)
    ], told


@pytest.mark.parametrize(
    "name, patient",
    [("patient001_frame01", "patient001"), ("p1_ED", "p1"), ("p1_ES", "p1"), ("p1_frame01_ED", "p1"),
     ("NODES", "NODES"),     ("sub-01_ses-1_T1w", "sub-01"), ("sub-01", "sub-01"), ("sub-01x-left", "sub-01x-left"),
     ("3.12.5", "3.12.5"),     ("case_0007", "case_0007"), ("frame01", "frame01"), ("_ED", "_ED")],
)  # fmt: skip
def test_the_default_rule_tells_the_patient(name, patient, tmp_path):
    touch(tmp_path, f"{name}.nii.gz")
    assert found(tmp_path) == ([(f"{name}.nii.gz", "-", patient)], [])


@pytest.mark.parametrize(
    "image, label",
    [("p1", "p1_gt"), ("p1", "p1-seg"), ("p1", "p1_Segmentation"), ("p1_image", "p1_label"),
     ("volume-0", "segmentation-0"), ("img0001", "label0001"), ("imaging", "segmentation"),
     ("sub-01_T1w", "sub-01_dseg"), ("p 1", "p 1.mask"),     ("a_0000", "a_seg")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".png"])
def test_label_maps_among_images_are_their_labels(image, label, suffix, tmp_path):
    touch(tmp_path, image + suffix, label + suffix)
    ((file, paired, _),), told = found(tmp_path)
    assert (file, paired) == (image + suffix, label + suffix)
    assert len(told) == 1 and label in told[0] and "taken as labels" in told[0]


def test_names_that_only_resemble_label_maps_are_images(tmp_path):
    touch(tmp_path, "gt12.nii", "segment_1.nii", "labelled.nii", "unmask.nii", "seg12.nii")
    cases, told = found(tmp_path)
    assert len(cases) == 5 and not told


def test_label_maps_that_fit_no_one_image_are_left_out_with_a_warning(tmp_path):
    touch(tmp_path, "b_t1.nii", "b_t2.nii", "b_seg.nii", "c.nii", "c_seg.nii", "c_mask.nii", "d_gt.nii")
    cases, told = found(tmp_path)
    assert [case[:2] for case in cases] == [("b_t1.nii", "-"), ("b_t2.nii", "-"), ("c.nii", "-")]
    assert "4 file(s) named like label maps are left out" in told[0]
    assert "'b_t1' and 'b_t2'" in told[1] and "patient_pattern" in told[1]


def test_a_folder_of_label_maps_alone_is_warned_of(tmp_path):
    touch(tmp_path, "a_seg.nii", "b_seg.nii")
    cases, told = found(tmp_path)
    assert len(cases) == 2 and "taken as images" in told[0]


def test_label_maps_among_images_do_not_stand_beside_those_of_label_dir(tmp_path):
    touch(tmp_path, "i/a.nii", "i/a_gt.nii", "l/a.nii")
    cases, told = found(tmp_path / "i", tmp_path / "l")
    assert cases == [("a.nii", "a.nii", "a")] and "a_gt.nii" in told[0] and "left out" in told[0]


def test_4d_series_among_volumes_are_left_out_and_alone_they_are_read(tmp_path):
    touch(tmp_path, "p1_4d.nii.gz", "p1_frame01.nii.gz", "p1_frame01_gt.nii.gz")
    cases, told = found(tmp_path)
    assert cases == [("p1_frame01.nii.gz", "p1_frame01_gt.nii.gz", "p1")]
    assert "p1_4d.nii.gz" in told[0] and "4-D" in told[0]
    touch(tmp_path / "alone", "p1_4d.nii.gz")
    assert found(tmp_path / "alone") == ([("p1_4d.nii.gz", "-", "p1")], [])


@pytest.mark.parametrize("first, second", [("a.nii", "a.nii.gz"), ("a.nii", "a.NII"), ("a.png", "a.jpg")])
def test_two_files_of_one_case_are_refused(first, second, tmp_path):
    touch(tmp_path / "images", first, second)
    with pytest.raises(ValueError, match=r"images/a\..*the same name but for the suffix.*keep one"):
        find_cases(tmp_path / "images")
    touch(tmp_path / "one", first)
    with pytest.raises(ValueError, match=r"images/a\..*the same name but for the suffix"):
        find_cases(tmp_path / "one", tmp_path / "images")


# folders below


def test_folders_of_bids_are_read(tmp_path):
    for person in ("01", "02"):
        for visit in ("1", "2"):
            touch(tmp_path, f"sub-{person}/ses-{visit}/anat/sub-{person}_ses-{visit}_T1w.nii.gz")
    touch(tmp_path, "derivatives/x/sub-01_T1w.nii.gz", ".git/annex/a.nii.gz", "participants.tsv")
    touch(tmp_path, "derivatives/labels/sub-01/ses-1/anat/sub-01_ses-1_T1w_seg.nii.gz", "sub-01/.x.nii.gz")
    cases, told = found(tmp_path)
    assert [case[2] for case in cases] == ["sub-01", "sub-01", "sub-02", "sub-02"] and not told
    cases, _ = found(tmp_path, tmp_path / "derivatives" / "labels", label_suffix="_seg")
    assert [case[1] for case in cases] == ["sub-01_ses-1_T1w_seg.nii.gz", "-", "-", "-"]


def test_folders_of_patients_are_read_as_acdc_is_released(tmp_path):
    for part, person in (("training", "patient001"), ("training", "patient002"), ("testing", "patient101")):
        for end in ("_4d", "_frame01", "_frame01_gt", "_frame12", "_frame12_gt"):
            touch(tmp_path, f"{part}/{person}/{person}{end}.nii.gz")
    cases, told = found(tmp_path)
    assert [case[2] for case in cases] == ["patient101"] * 2 + ["patient001"] * 2 + ["patient002"] * 2
    assert all(label == image.replace(".nii", "_gt.nii") for image, label, _ in cases)
    assert len(told) == 2


def test_files_of_one_name_belong_to_the_patients_of_their_folders(tmp_path):
    for person in ("p1", "p2"):
        touch(tmp_path, f"{person}/day1/T1.nii", f"{person}/day2/T1.nii", f"{person}/day1/seg.nii")
    cases, _ = found(tmp_path)
    assert [case[1:] for case in cases] == [("seg.nii", "p1"), ("-", "p1"), ("seg.nii", "p2"), ("-", "p2")]


def test_folders_of_images_and_labels_below_are_named(tmp_path):
    touch(tmp_path, "images/a.nii", "masks/a.nii")
    with pytest.raises(FileNotFoundError, match="masks; give the folder of the images as dataset_dir"):
        find_cases(tmp_path)


def test_links_in_a_circle_end(tmp_path):
    touch(tmp_path, "p1/a.nii")
    (tmp_path / "p1" / "up").symlink_to(tmp_path)
    assert [case[2] for case in found(tmp_path)[0]] == ["p1"]


def test_hidden_folders_are_no_series(tmp_path):
    touch(tmp_path, "p1/DICOM/1.dcm", ".p2/DICOM/1.dcm")
    assert [case["patient"] for case in find_cases(tmp_path, series="*/DICOM")] == ["p1"]


@pytest.mark.parametrize(
    "names", [("p1_left", "p1_right"), ("p1_visit1", "p1_visit2"), ("p1-T1", "p1-FLAIR"), ("p1_2CH_ED", "p1_4CH_ED"),
              ("p1_OD", "p1_OS"), ("p1_slice_1", "p1_slice_2")]
)  # fmt: skip
def test_patients_that_differ_by_a_side_or_a_visit_are_warned_of(names, tmp_path):
    touch(tmp_path, *(f"{name}.nii" for name in (*names, "p2_left")))
    _, told = found(tmp_path)
    assert len(told) == 1 and "2 patients look like 1" in told[0] and "'p1" in told[0]
    assert not found(tmp_path, patient_pattern=r"(p\d)")[1]


def test_numbers_and_names_of_folders_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match=r"dataset_dir must be text, found the int 202411.*--dataset_dir \./2024"):
        find_cases(202411)
    touch(tmp_path, "study [2024] *?/a.nii")
    assert len(find_cases(tmp_path / "study [2024] *?")) == 1


@pytest.mark.parametrize(
    "folders, inside, patients",
    [
        (("visit1", "visit2", "visit3"), "{}.nii.gz", ["p1", "p2", "p3", "p4"]),
        (("ED", "ES"), "{}.nii.gz", ["p1", "p2", "p3", "p4"]),
        (("T1", "FLAIR"), "{}/img.nii.gz", ["p1", "p2", "p3", "p4"]),
        (("training", "test"), "{}/day1/img.nii.gz", ["p1", "p2", "p3", "p4"]),
        (("training/visit1", "training/visit2"), "{}/img.nii.gz", ["p1", "p2", "p3", "p4"]),
    ],
)
def test_folders_of_visits_are_no_patients(folders, inside, patients, tmp_path):
    touch(tmp_path, *(f"{folder}/{inside.format(patient)}" for folder in folders for patient in patients))
    cases, told = found(tmp_path)
    assert [case[2] for case in cases] == patients * len(folders) and not told


def test_folders_of_patients_are_patients_whatever_is_in_them(tmp_path):
    for inside in (["T1.nii", "T2.nii", "FLAIR.nii"], ["img.nii"], ["day1/img.nii", "day2/img.nii"]):
        for name in ("{}", "scan{}"):
            folder = tmp_path / f"{len(inside)}{inside[0][0]}{len(name)}"
            touch(folder, *(f"{name.format(number)}/{path}" for number in (1, 2) for path in inside))
            cases, told = found(folder)
            expected = [name.format(number) for number in (1, 2) for _ in inside]
            assert [case[2] for case in cases] == expected and not told, (inside, name)


def test_folders_that_share_names_and_are_fewer_than_these_are_warned_of(tmp_path):
    touch(tmp_path, *(f"{folder}/{name}.nii" for folder in ("rest", "stress") for name in ("p1", "p2", "p3")))
    cases, (told,) = found(tmp_path)
    assert {case[2] for case in cases} == {"rest", "stress"}
    assert "the 2 folders rest, stress are taken for patients, though p1, p2, p3 are in several of them" in told
    cases, told = found(tmp_path, patient_pattern="(.+)")
    assert [case[2] for case in cases] == ["p1", "p2", "p3"] * 2 and not told


def test_time_points_of_brats_share_a_patient(tmp_path):
    for time in ("000", "001"):
        touch(
            tmp_path, f"BraTS-GLI-00001-{time}/BraTS-GLI-00001-{time}-t1c.nii.gz", f"flat/BraTS-MEN-00002-{time}.nii.gz"
        )
    assert {case[2] for case in found(tmp_path)[0]} == {"BraTS-GLI-00001", "BraTS-MEN-00002"}
