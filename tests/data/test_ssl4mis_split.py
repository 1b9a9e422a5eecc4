# SPDX-License-Identifier: Apache-2.0
"""The split of ACDC in SSL4MIS."""

import pytest

from monai_cl_ext.data import ssl4mis_split

CASES = [
    {"image": f"patient{number:03}_frame0{frame}.nii.gz", "patient": f"patient{number:03}"}
    for number in range(1, 101)
    for frame in (1, 2)
]
TEST = "001 007 008 011 013 022 024 033 052 059 064 065 066 068 075 080 081 083 084 093"
VALIDATION = "002 019 028 030 039 045 078 082 085 087"
LABELLED = {
    3: "038 050 099",
    7: "021 038 049 050 058 099 100",
    14: "021 038 049 050 058 099 100 004 020 040 056 060 072 089",
}


def patients(part):
    return list(dict.fromkeys(case["patient"][-3:] for case in part))


@pytest.mark.parametrize("labelled", LABELLED)
def test_the_lists_are_the_released_ones(labelled):
    split = ssl4mis_split(CASES[::-1], labelled)
    assert patients(split["train"]) == LABELLED[labelled].split() and len(split["train"]) == 2 * labelled
    assert patients(split["test"]) == TEST.split() and patients(split["validation"]) == VALIDATION.split()
    assert len(split["pretrain"]) == 140 and set(patients(split["train"])) <= set(patients(split["pretrain"]))
    parts = [set(patients(split[part])) for part in ("pretrain", "validation", "test")]
    assert [len(part) for part in parts] == [70, 10, 20] and len(set.union(*parts)) == 100


def test_what_is_not_released_is_refused():
    with pytest.raises(ValueError, match="labelled must be one of 3, 7, 14, found 5"):
        ssl4mis_split(CASES, 5)
    with pytest.raises(ValueError, match="2 of them are not among the 196 cases: 099, 100; add them"):
        ssl4mis_split(CASES[:-4])
    with pytest.raises(ValueError, match="fits both"):
        ssl4mis_split([*CASES, {"image": "other001", "patient": "other001"}])
