# SPDX-License-Identifier: Apache-2.0
"""Splits part patients, never the volumes of one."""

import warnings

import pytest

from monai_cl_ext.data import (
    draw_patients,
    find_cases,
    released_patients,
    released_split,
    split_by_patient,
    split_patients,
    unlabelled_cases,
)


def cases_of(patients, frames=2, labelled=True):
    return [
        {"image": f"/d/{p}_frame{f:02d}.nii.gz", "patient": p} | ({"label": f"/l/{p}_{f}.nii.gz"} if labelled else {})
        for p in patients
        for f in range(1, frames + 1)
    ]


def patients_of(cases):
    return {case["patient"] for case in cases}


NAMES = [f"p{number:02d}" for number in range(20)]


@pytest.mark.parametrize("validation, test, counts", [(2, 5, (13, 2, 5)), (0.1, 0.25, (13, 2, 5)), (0, 0, (20, 0, 0)),
                                                      (0.01, 0.0, (19, 1, 0)), (0.5, 3, (7, 10, 3))])  # fmt: skip
def test_parts_are_disjoint_whole_patients_of_the_asked_size(validation, test, counts):
    cases = cases_of(NAMES)
    split = split_patients(cases, validation, test, seed=3)
    parts = [patients_of(split[part]) for part in ("train", "validation", "test")]
    assert tuple(map(len, parts)) == counts
    assert set().union(*parts) == set(NAMES) and sum(map(len, parts)) == 20
    assert all(len(split[part]) == 2 * len(patients_of(split[part])) for part in split)
    assert split["pretrain"] == split["train"]


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_cases():
    cases = cases_of(NAMES)
    test = [patients_of(split_patients(cases, 2, 5, seed)["test"]) for seed in range(5)]
    assert len({frozenset(patients) for patients in test}) > 1
    assert patients_of(split_patients(cases[::-1], 2, 5, 0)["test"]) == test[0]
    assert patients_of(split_patients(cases, 8, 5, 0)["test"]) == test[0]


def test_unlabelled_patients_are_only_for_training():
    cases = cases_of(NAMES[:8]) + cases_of(NAMES[8:], labelled=False)
    cases[1].pop("label")
    split = split_patients(cases, 2, 3)
    assert patients_of(split["validation"] + split["test"]) <= set(NAMES[1:8])
    assert len(patients_of(split["train"])) == 15
    assert len(patients_of(split_patients(cases_of(NAMES, labelled=False), 2, 3)["test"])) == 3


@pytest.mark.parametrize("validation, test", [(-1, 0), (0, 1.0), (0, -0.1), (True, 0), ("2", 0), (float("nan"), 0)])
def test_a_number_out_of_range_is_named(validation, test):
    with pytest.raises(ValueError, match="validation|test"):
        split_patients(cases_of(NAMES), validation, test)


def test_a_split_without_training_patients_is_refused():
    with pytest.raises(ValueError, match=r"validation \(10\) and test \(10\) leave no patient .*found 20"):
        split_patients(cases_of(NAMES), 10, 10)
    with pytest.raises(ValueError, match="at least one volume"):
        split_patients([], 0, 0)
    with pytest.raises(ValueError, match='expected a "patient"'):
        split_patients([{"image": "x"}], 0, 0)


def test_explicit_lists():
    split = split_by_patient(cases_of("abcd"), ["a"], ["b"], ["d"])
    assert [patients_of(split[part]) for part in ("train", "validation", "test")] == [{"a"}, {"b"}, {"d"}]
    with pytest.raises(ValueError, match="patient 'x' of the validation list"):
        split_by_patient(cases_of("abcd"), ["a"], ["x"], [])
    with pytest.raises(ValueError, match="patient 'a' stands in the train list and in the test list"):
        split_by_patient(cases_of("abcd"), ["a"], [], ["a"])


def test_draws_are_nested_and_of_labelled_patients():
    cases = cases_of(NAMES) + cases_of(["u1", "u2"], labelled=False)
    for seed in range(4):
        draws = [patients_of(draw_patients(cases, number, seed)) for number in (1, 2, 8, 20)]
        assert [len(draw) for draw in draws] == [1, 2, 8, 20]
        assert draws[0] < draws[1] < draws[2] < draws[3] == set(NAMES)
    assert len({frozenset(patients_of(draw_patients(cases, 2, seed))) for seed in range(6)}) > 1
    assert len(draw_patients(cases, 3)) == 6
    assert patients_of(draw_patients(cases, None)) == set(NAMES)
    with pytest.raises(ValueError, match=r"at least 21 patient\(s\) with labels, found 20 among 22"):
        draw_patients(cases, 21)
    with pytest.raises(ValueError, match="found 0"):
        draw_patients(cases[-2:], None)
    with pytest.raises(ValueError, match="number"):
        draw_patients(cases, 0)


# the released lists


def test_released_lists_have_the_released_lengths():
    acdc = released_patients("acdc", 1)
    assert {part: len(patients) for part, patients in acdc.items()} == {
        "pretrain": 52, "train": 1, "validation": 2, "test": 20}  # fmt: skip
    assert len(set(acdc["pretrain"])) == 52 and "072" in acdc["pretrain"] and "095" not in acdc["pretrain"]
    everyone = {f"{number:03d}" for number in range(1, 101)}
    assert set(released_patients("acdc", "all")["train"]) == everyone - set(acdc["test"]) - {"031", "071"}
    assert len(released_patients("prostate", 2, "c3")["pretrain"]) == 17
    assert len(released_patients("prostate", 8, "c3")["test"]) == 15
    assert released_patients("mmwhs", 1, "c5")["train"] == ["1009"]
    for name, labelled, combinations in (
        ("acdc", 1, 5), ("acdc", 2, 5), ("acdc", 8, 3), ("prostate", 1, 5), ("prostate", 2, 5), ("prostate", 8, 3),
        ("mmwhs", 1, 5), ("mmwhs", 2, 4), ("mmwhs", 8, 3),
    ):  # fmt: skip
        for number in range(1, combinations + 1):
            lists = released_patients(name, labelled, f"c{number}")
            assert len(set(lists["train"])) == labelled and len(set(lists["validation"])) == 2
            assert not set(lists["test"]) & {p for part in ("pretrain", "train", "validation") for p in lists[part]}
            assert not set(lists["train"]) & set(lists["validation"])


@pytest.mark.parametrize("labelled, other", [((1, "c2"), (1, "c1")), ((2, "c1"), (2, "c2")), ((2, "c3"), (2, "c4")),
                                             ((8, "c2"), (8, "c3"))])  # fmt: skip
def test_four_acdc_draws_have_another_validation_pair(labelled, other):
    assert released_patients("acdc", *labelled)["validation"] == ["031", "072"]
    assert released_patients("acdc", *other)["validation"] == ["011", "071"]


def test_unknown_lists_are_refused_by_name():
    with pytest.raises(ValueError, match="'acdc', 'prostate', 'mmwhs', found 'brats'"):
        released_patients("brats", 1)
    with pytest.raises(ValueError, match="found '3 c1', released for acdc are: 1 c1"):
        released_patients("acdc", 3)


def acdc():
    patients = [f"patient{number:03d}" for number in range(1, 101)]
    cases = cases_of(patients)
    for case in cases:
        if case["patient"] == "patient090":
            case["image"] = case["image"].replace("frame01", "frame04").replace("frame02", "frame11")
    return cases


def test_the_acdc_split_takes_end_diastole_alone():
    split = released_split(acdc(), "acdc", 2, "c1")
    assert {part: len(cases) for part, cases in split.items()} == {
        "pretrain": 52, "train": 2, "validation": 2, "test": 20}  # fmt: skip
    assert [case["patient"] for case in split["train"]] == ["patient042", "patient062"]
    images = {case["image"] for cases in split.values() for case in cases}
    assert "/d/patient090_frame04.nii.gz" in images
    assert all("frame01" in image for image in images if "patient090" not in image)


def test_an_absent_listed_patient_stops_or_is_dropped_with_one_warning():
    present = [case for case in acdc() if case["patient"] not in ("patient003", "patient007")]
    with pytest.raises(ValueError, match=r"2 released patient\(s\) are not among .*: 003, 007; .*allow_absent"):
        released_split(present, "acdc", 1)
    with pytest.warns(UserWarning, match="003, 007") as record:
        split = released_split(present, "acdc", 1, allow_absent=True)
    assert len(record) == 1 and len(split["pretrain"]) == 51 and len(split["test"]) == 19
    without = [case for case in acdc() if case["patient"] != "patient002"]
    with pytest.raises(ValueError, match=r"none of the released train patients \(002\)"):
        released_split(without, "acdc", 1, allow_absent=True)


def test_numbers_of_two_data_sets_are_ambiguous():
    cases = cases_of([f"mr_train_{number}" for number in range(1001, 1021)], frames=1)
    assert len(released_split(cases, "mmwhs", 1)["test"]) == 10
    with pytest.raises(ValueError, match="1001 fits both 'ct_train_1001' and 'mr_train_1001'"):
        released_split(cases + cases_of(["ct_train_1001"]), "mmwhs", 1)


def test_prostate_files_with_two_digits_match():
    cases = cases_of([f"prostate_{number:02d}" for number in range(48)], frames=1)
    assert [case["patient"] for case in released_split(cases, "prostate", 2, "c1")["train"]] == [
        "prostate_00", "prostate_01"]  # fmt: skip


def test_acdc_frames_stay_together(real_data):
    cases = find_cases(real_data / "ACDC")
    split = split_patients(cases, 8, 20)
    assert {part: len(cases) for part, cases in split.items()} == {
        "pretrain": 104, "train": 104, "validation": 16, "test": 40}  # fmt: skip
    assert not patients_of(split["train"]) & patients_of(split["test"] + split["validation"])
    assert len(draw_patients(split["train"], 1)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        released = released_split(cases, "acdc", 8, allow_absent=True)
    assert all("_frame01" in case["image"] for cases in released.values() for case in cases)


def test_unlabelled_cases_are_the_others_without_their_labels():
    cases = [*cases_of(["a", "b"]), *cases_of(["c"], labelled=False)]
    found = unlabelled_cases(cases, cases_of(["a"]))
    assert found == [{"image": f"/d/{p}_frame{f:02d}.nii.gz", "patient": p} for p in "bc" for f in (1, 2)]
    with pytest.raises(ValueError, match=r"no patient is left without labels: all 2 volume\(s\)"):
        unlabelled_cases(cases_of(["a"]), cases_of(["a", "b"]))


def test_unlabelled_cases_may_have_a_file_for_each_channel():
    cases = [{"image": [f"/d/{p}_0000.nii.gz", f"/d/{p}_0001.nii.gz"], "label": "x", "patient": p} for p in "ab"]
    assert unlabelled_cases(cases, cases[:1]) == [{"image": cases[1]["image"], "patient": "b"}]
