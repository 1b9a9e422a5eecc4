# SPDX-License-Identifier: Apache-2.0
"""Splits of a study keep patients apart, and folds test every labeled patient once."""

import json

import pytest

from monai_cl_ext.study.splits import make_splits, read_split, with_held_out_patients


def cases(patients=10, unlabelled=3):
    found = []
    for number in range(patients):
        for frame in (1, 2):
            name = f"p{number:02d}_frame0{frame}"
            label = {"label": f"{name}.nii"} if number < patients - unlabelled else {}
            found.append({"image": f"{name}.nii", "patient": f"p{number:02d}", **label})
    return found


def patients(part):
    return {case["patient"] for case in part}


def test_folds_test_every_labelled_patient_once():
    splits = make_splits(cases(), validation=2, test=0.5, folds=3, seed=1)
    tested = [patient for split in splits for patient in sorted(patients(split["test"]))]
    assert sorted(tested) == [f"p{number:02d}" for number in range(7)]
    for split in splits:
        assert len(patients(split["validation"])) == 2
        assert not patients(split["test"]) & (patients(split["validation"]) | patients(split["pretrain"]))
        assert not patients(split["validation"]) & patients(split["pretrain"])
        assert {"p07", "p08", "p09"} <= patients(split["pretrain"])
        assert all(
            len([case for case in split["test"] if case["patient"] == one]) == 2 for one in patients(split["test"])
        )


@pytest.mark.parametrize("folds", [1, 8])
def test_a_wrong_number_of_folds_is_refused(folds):
    with pytest.raises(ValueError, match=f"folds must be from 2 to 7.*found {folds}"):
        make_splits(cases(), 1, 1, folds)


def test_a_file_lists_patients_or_volumes(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["p00"], "validation": ["p01"], "test": ["p02", "p03_frame01"]}))
    split = read_split(path, cases())
    assert [case["image"] for case in split["test"]] == ["p02_frame01.nii", "p02_frame02.nii", "p03_frame01.nii"]
    assert patients(split["pretrain"]) == {"p00", *(f"p{number:02d}" for number in range(4, 10))}
    path.write_text(json.dumps({"train": ["p00_frame01"], "validation": ["p01"], "test": ["p02"]}))
    assert "p00_frame02.nii" in [case["image"] for case in read_split(path, cases())["pretrain"]]
    path.write_text(json.dumps({"train": ["p00"], "validation": ["p01"], "test": ["p02"], "pretrain": ["p05"]}))
    assert patients(read_split(path, cases())["pretrain"]) == {"p05"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "expected"),
        ('{"train": ["p00"], "test": ["p01"]}', "validation"),
        ('{"train": ["p00"], "validation": [], "test": ["p01"]}', "'validation' is empty"),
        ('{"train": ["p00"], "validation": ["p77"], "test": ["p01"]}', "'p77' is neither"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, content, sentence):
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"split.json.*{sentence}"):
        read_split(path, cases())


def test_transductive_pretraining_sees_held_out_images_once():
    split = make_splits(cases(), 2, 2)[0]
    wider = with_held_out_patients(with_held_out_patients(split))
    assert len(wider["pretrain"]) == len(cases()) and patients(wider["test"]) == patients(split["test"])
