# SPDX-License-Identifier: Apache-2.0
"""The patients of ACDC that SSL4MIS trains, selects and tests with, as most semi-supervised papers do."""

from __future__ import annotations

from collections.abc import Sequence

from monai_cl_ext.arguments import one_of
from monai_cl_ext.data.papers.gcl_lists import by_number
from monai_cl_ext.data.same_volumes import warn_of_same_volumes
from monai_cl_ext.data.splits import Case

PATIENTS = 100
TEST = (1, 7, 8, 11, 13, 22, 24, 33, 52, 59, 64, 65, 66, 68, 75, 80, 81, 83, 84, 93)
VALIDATION = (2, 19, 28, 30, 39, 45, 78, 82, 85, 87)
SEVEN = (21, 38, 49, 50, 58, 99, 100)
LABELLED = {3: (38, 50, 99), 7: SEVEN, 14: (*SEVEN, 4, 20, 40, 56, 60, 72, 89)}


def ssl4mis_split(cases: Sequence[Case], labelled: int = 7) -> dict[str, list[Case]]:
    """The split of ACDC's 100 patients in SSL4MIS: 70 to train with, 10 to select and 20 to test, both frames of each.

    Args:
        cases: dictionaries with "patient" that ends in ACDC's number (patient001 for 1).
        labelled: training patients whose labels are used: 3, 7 or 14.

    Returns:
        "pretrain" (all training patients), "train" (the labeled ones), "validation", "test".

    Raises:
        ValueError: when a patient is absent, a number fits several patients, or there is no such list.
    """
    one_of("labelled", labelled, tuple(LABELLED))
    numbered = by_number(cases)
    warn_of_same_volumes(cases)
    absent = [f"{number:03d}" for number in range(1, PATIENTS + 1) if number not in numbered]
    if absent:
        raise ValueError(
            f"the {PATIENTS} patients of ACDC are split, {len(absent)} of them are not among the {len(cases)} cases: "
            f"{', '.join(absent)}; add them, or split with split_patients"
        )
    held_out = {*TEST, *VALIDATION}
    training = [number for number in range(1, PATIENTS + 1) if number not in held_out]
    parts = {"pretrain": training, "train": LABELLED[labelled], "validation": VALIDATION, "test": TEST}
    return {part: [case for number in numbers for case in numbered[number]] for part, numbers in parts.items()}
