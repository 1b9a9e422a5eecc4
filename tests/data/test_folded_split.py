# SPDX-License-Identifier: Apache-2.0
"""The folds and draws of PCL and SuperCL, against the lists that SuperCL publishes."""

import pytest

from monai_cl_ext.data import folded_split

CASES = [
    {"image": f"patient{number:03}_frame0{frame}.nii.gz", "patient": f"patient{number:03}"}
    for number in range(1, 101)
    for frame in (1, 2)
]
TEST = [5, 10, 14, 21, 26, 29, 34, 36, 41, 43, 50, 52, 61, 64, 66, 70, 76, 79, 87, 89]
TENTH = [73, 18, 1, 15, 95, 6, 13, 16]
QUARTER = [*TENTH, 58, 39, 3, 4, 90, 57, 80, 77, 24, 7, 97, 92]


def numbers(part: list[dict]) -> list[int]:
    return list(dict.fromkeys(int(case["patient"][-3:]) for case in part))


@pytest.mark.parametrize("labelled, expected", [(8, TENTH), (20, QUARTER)])
def test_the_lists_of_acdc_are_those_published(labelled, expected):
    split = folded_split(CASES, labelled)
    assert numbers(split["test"]) == TEST and numbers(split["train"]) == expected
    assert len(split["train"]) == 2 * labelled


def test_the_lists_of_mmwhs_are_those_published():
    cases = [{"image": f"{number}", "patient": str(number)} for number in range(1001, 1021)]
    split = folded_split(cases, 2, fold=1)
    assert [case["patient"] for case in split["test"]] == ["1001", "1011", "1013", "1016"]
    assert [case["patient"] for case in split["train"]] == ["1019", "1003"]


def test_test_and_validation_patients_are_in_nothing_else():
    split = folded_split(CASES, 8, fold=3, validation=4)
    parts = {name: set(numbers(part)) for name, part in split.items()}
    assert len(parts["validation"]) == 4 and len(parts["pretrain"]) == 76 and parts["train"] <= parts["pretrain"]
    assert not parts["test"] & (parts["pretrain"] | parts["validation"])
    assert not parts["validation"] & parts["pretrain"]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="82, are more than the 80"):
        folded_split(CASES, 80)
    with pytest.raises(ValueError, match="at least as many patients, found 2"):
        folded_split(CASES[:4], 1)
    with pytest.raises(ValueError, match="fold"):
        folded_split(CASES, 1, fold=5)
