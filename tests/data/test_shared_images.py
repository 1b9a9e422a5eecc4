# SPDX-License-Identifier: Apache-2.0
"""Patients that share an image under different names are on one side of every drawn split."""

import warnings

import numpy as np
import pytest

from monai_cl_ext.data import draw_patients, find_cases, split_patients
from monai_cl_ext.data.same_volumes import warn_of_same_volumes
from monai_cl_ext.study.splits import make_splits

PARTS = ("train", "validation", "test")


def cases_of(folder, contents, unlabelled=()):
    """A volume for each patient; equal letters are equal contents."""
    cases = []
    for number, content in enumerate(contents):
        name = f"p{number:02d}"
        (folder / f"{name}.nii").write_text(content * 99)
        label = {} if number in unlabelled else {"label": "label.nii"}
        cases.append({"image": str(folder / f"{name}.nii"), "patient": name, **label})
    return cases


def sides(split, cases):
    """The parts where each content is."""
    content = {case["patient"]: open(case["image"]).read()[0] for case in cases}  # noqa: SIM115
    found: dict[str, set[str]] = {}
    for part in PARTS:
        for case in split[part]:
            found.setdefault(content[case["patient"]], set()).add(part)
    return found


def patients(part):
    return {case["patient"] for case in part}


@pytest.mark.parametrize("validation, test", [(2, 3), (1, 1), (0.2, 0.3), (4, 5), (3, 0)])
@pytest.mark.filterwarnings("ignore:patients with the same image")
def test_copies_are_never_parted_and_the_numbers_are_those_asked_for(validation, test, tmp_path):
    cases = cases_of(tmp_path, "aabcdefghhhijkl")
    (tmp_path / "plain").mkdir()
    plain = split_patients(cases_of(tmp_path / "plain", "abcdefghijklmno"), validation, test)
    for seed in range(20):
        split = split_patients(cases, validation, test, seed)
        assert all(len(parts) == 1 for parts in sides(split, cases).values())
        assert [len(split[part]) for part in PARTS] == [len(plain[part]) for part in PARTS]
        assert patients(split["test"]) == patients(split_patients(cases, 0, test, seed)["test"])


@pytest.mark.filterwarnings("ignore:patients with the same image")
def test_without_copies_and_where_copies_fall_on_one_side_a_seed_draws_as_ever(tmp_path):
    different = cases_of(tmp_path, "abcdefghijklmno")
    (tmp_path / "copies").mkdir()
    copies, same_side = cases_of(tmp_path / "copies", "abcdefgaijklmno"), 0
    for seed in range(20):
        order = [different[place]["patient"] for place in np.random.default_rng(seed).permutation(15)]
        expected = {"test": set(order[:4]), "validation": set(order[4:6]), "train": set(order[6:])}
        split = split_patients(different, 2, 4, seed)
        assert {part: patients(split[part]) for part in PARTS} == expected
        if any({"p00", "p07"} <= part for part in expected.values()):
            same_side += 1
            split = split_patients(copies, 2, 4, seed)
            assert {part: patients(split[part]) for part in PARTS} == expected
    assert same_side > 3


@pytest.mark.filterwarnings("ignore:patients with the same image")
def test_a_labelled_patient_whose_copy_has_no_label_is_for_training(tmp_path):
    cases = cases_of(tmp_path, "abcdefa", unlabelled=(6,))
    for seed in range(10):
        assert {"p00", "p06"} <= patients(split_patients(cases, 2, 3, seed)["train"])


def test_where_copies_have_to_be_parted_that_is_told(tmp_path):
    cases = cases_of(tmp_path, "aaaabbbb")
    with pytest.warns(UserWarning, match="test: no 2 .* can be drawn without parting patients that share an image"):
        split = split_patients(cases, 0, 2)
    assert [len(split[part]) for part in PARTS] == [6, 0, 2]


@pytest.mark.filterwarnings("ignore:patients with the same image")
def test_draws_of_labelled_patients_are_nested_with_copies_too(tmp_path):
    cases = cases_of(tmp_path, "aabcdefghhhijkl")
    for seed in range(5):
        draws = [patients(draw_patients(cases, number, seed)) for number in range(1, 16)]
        assert [len(draw) for draw in draws] == list(range(1, 16))
        assert all(small < large for small, large in zip(draws, draws[1:], strict=False))


@pytest.mark.filterwarnings("ignore:patients with the same image")
def test_a_fold_holds_all_copies_and_trains_on_none(tmp_path):
    cases = cases_of(tmp_path, "aabcdefghbiaj", unlabelled=(9,))
    for seed in range(5):
        splits = make_splits(cases, 1, 0, folds=3, seed=seed)
        assert all(len(parts) == 1 for split in splits for parts in sides(split, cases).values())
        tested = [patient for split in splits for patient in patients(split["test"])]
        assert sorted(tested) == [case["patient"] for case in cases if "label" in case]
    with pytest.raises(ValueError, match="folds must be at most 1, .* found 2; ask for fewer, or remove the copies"):
        make_splits(cases_of(tmp_path, "aaa"), 1, 0, folds=2)


def test_chains_of_copies_have_one_first_patient_and_classes_are_told_apart(tmp_path):
    cases = cases_of(tmp_path, "abbcc")
    cases[0]["patient"], cases[1]["patient"] = "x", "x"
    cases[2]["patient"], cases[3]["patient"] = "y", "y"
    with pytest.warns(UserWarning, match="patients with the same image"):
        assert warn_of_same_volumes(cases) == {"x": "x", "y": "x", "p04": "x"}
    one = [{**case, "patient": "p", "class_name": name} for case, name in zip(cases[1:3], ("ill", "well"), strict=True)]
    with pytest.warns(UserWarning, match=r"'p' \(p01\.nii, ill\) and 'p' \(p02\.nii, well\)"):
        warn_of_same_volumes(one)
    with pytest.warns(UserWarning, match=r"'p' \(p00\.nii\) and 'q' \(p00\.nii\)"):
        warn_of_same_volumes([{**cases[0], "patient": patient} for patient in "pq"])


def test_the_two_patients_of_acdc_are_on_one_side(real_data):
    cases = find_cases(real_data / "ACDC")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(10):
            split = split_patients(cases, 0.1, 0.25, seed)
            found = [part for part in PARTS if {"patient074", "patient076"} & patients(split[part])]
            assert len(found) == 1
