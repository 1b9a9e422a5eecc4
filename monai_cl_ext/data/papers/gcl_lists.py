# SPDX-License-Identifier: Apache-2.0
"""The patients of the released GCL experiments (Chaitanya et al. 2020)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from monai_cl_ext.arguments import one_of
from monai_cl_ext.data.same_volumes import warn_of_same_volumes
from monai_cl_ext.data.splits import Case, by_patient

PARTS = ("pretrain", "train", "validation", "test")


class _Lists(NamedTuple):
    pretrain: str
    test: str
    labelled: dict[str, str]  # "labeled combination": "train patients | validation patients"


# Patients are written as in the released code; "001-006" is a run.
_RELEASED = {
    "acdc": _Lists(
        pretrain="001-006 012 017-026 037-046 057-066 072 077-086 097-100",
        test="007-010 027-030 047-050 067-070 087-090",
        labelled={
            "1 c1": "002 | 011 071",
            "1 c2": "042 | 031 072",
            "1 c3": "095 | 011 071",
            "1 c4": "022 | 011 071",
            "1 c5": "062 | 011 071",
            "2 c1": "042 062 | 031 072",
            "2 c2": "002 042 | 011 071",
            "2 c3": "042 095 | 031 072",
            "2 c4": "002 022 | 011 071",
            "2 c5": "002 095 | 011 071",
            "8 c1": "002 022 042 062 095 003 023 043 | 011 071",
            "8 c2": "002 022 042 062 095 063 094 043 | 031 072",
            "8 c3": "002 022 042 062 095 003 094 023 | 011 071",
            "all c1": "001-006 011-026 032-046 051-066 072-086 091-100 | 011 071",
        },
    ),
    "prostate": _Lists(
        pretrain="000-002 004 006 007 010 013 014 016-018 020 021 024 025 028",
        test="029 031 032 034 035 037-044 046 047",
        labelled={
            "1 c1": "001 | 013 014",
            "1 c2": "002 | 017 020",
            "1 c3": "006 | 025 028",
            "1 c4": "000 | 013 014",
            "1 c5": "004 | 025 028",
            "2 c1": "000 001 | 013 014",
            "2 c2": "021 024 | 017 020",
            "2 c3": "001 002 | 025 028",
            "2 c4": "004 010 | 013 014",
            "2 c5": "000 007 | 025 028",
            "8 c1": "000 001 002 004 006 007 010 016 | 013 014",
            "8 c2": "002 004 006 007 010 016 021 018 | 017 020",
            "8 c3": "000 001 006 007 010 017 018 024 | 025 028",
            "all c1": "000-002 004 006 007 010 016-018 020 021 024 025 028 | 013 014",
        },
    ),
    "mmwhs": _Lists(
        pretrain="1001-1010",
        test="1011-1020",
        labelled={
            "1 c1": "1003 | 1002 1005",
            "1 c2": "1006 | 1001 1008",
            "1 c3": "1008 | 1007 1002",
            "1 c4": "1001 | 1002 1005",
            "1 c5": "1009 | 1007 1002",
            "2 c1": "1001 1003 | 1002 1005",
            "2 c2": "1009 1008 | 1007 1002",
            "2 c3": "1006 1002 | 1001 1008",
            "2 c4": "1010 1007 | 1004 1008",
            "8 c1": "1001 1003 1004 1006-1010 | 1002 1005",
            "8 c2": "1002-1007 1009 1010 | 1001 1008",
            "8 c3": "1001 1003-1006 1008-1010 | 1007 1002",
        },
    ),
}


def released_patients(name: str, labelled: int | str, combination: str = "c1") -> dict[str, list[str]]:
    """Patients of a released GCL experiment, as numbered there; see :func:`released_split`.

    Raises:
        ValueError: when the data set has no such list; the message names those there are.
    """
    lists = _RELEASED[one_of("name", name, tuple(_RELEASED))]
    key = f"{labelled} {combination}"
    if key not in lists.labelled:
        known = ", ".join(lists.labelled)
        raise ValueError(f"labelled and combination: found {key!r}, released for {name} are: {known}")
    train, validation = lists.labelled[key].split("|")
    patients = (lists.pretrain, train, validation, lists.test)
    return {part: _written_out(written) for part, written in zip(PARTS, patients, strict=True)}


def released_split(
    cases: Sequence[Case], name: str, labelled: int | str, combination: str = "c1", allow_absent: bool = False
) -> dict[str, list[Case]]:
    """The split of a released GCL experiment.

    Of ACDC, only the end-diastolic volume of a patient is taken, as released: the file with ``_frame01`` in its name,
    or ``_frame04`` for the one patient without.

    Mind, before comparing with the paper (Chaitanya et al. 2020, section 4):

    - The paper says that labeled and validation patients are among the pre-training patients. In the released lists
      of ACDC the labeled 094 and 095 and, of the validation patients, 011, 031 and 071 are not, while 072 is.
      The ids are kept as released.
    - ACDC's benchmark ("all", 78 patients) trains on 011 and selects on it, too. A score selected so is too high.
    - Of Prostate and MMWHS, validation patients are among the pre-training patients. The prostate list for
      pre-training is called tr22 and holds 17; its benchmark lacks a comma between 000 and 001, read here as both.
    - The paper draws six times for each setting; five (1 and 2 labeled) or three (8 labeled) draws are released,
      and MMWHS has four for 2 labeled.

    Args:
        cases: dictionaries with "patient" that ends in the released number (patient001 for 001).
        name: "acdc", "prostate" or "mmwhs".
        labelled: number of labeled patients: 1, 2, 8, or "all" for the benchmark of ACDC and Prostate.
        combination: "c1" to "c5", the released draw.
        allow_absent: leaves out listed patients that are not among ``cases``, with one warning that names them.

    Returns:
        "pretrain", "train", "validation", "test": cases in the order of the released lists.

    Raises:
        ValueError: when a listed patient is absent, a number fits several patients, a part would be empty, or there
            is no such list.
    """
    numbered = by_number(cases, end_diastole=name == "acdc")
    warn_of_same_volumes(cases)
    split: dict[str, list[Case]] = {}
    absent: list[str] = []
    for part, patients in released_patients(name, labelled, combination).items():
        split[part] = [case for patient in patients for case in numbered.get(int(patient), [])]
        absent += [patient for patient in patients if int(patient) not in numbered and patient not in absent]
        if not split[part]:
            raise ValueError(
                f"{name}: none of the released {part} patients ({', '.join(patients)}) is among the {len(cases)} "
                "cases; check the data folder, or split with split_patients"
            )
    if absent:
        message = f"{name}: {len(absent)} released patient(s) are not among the {len(cases)} cases: {', '.join(absent)}"
        if not allow_absent:
            raise ValueError(f"{message}; add them, or leave them out with allow_absent=True")
        warnings.warn(f"{message}; they are left out, so this is not the released split", stacklevel=2)
    return split


def _written_out(written: str) -> list[str]:
    patients = []
    for word in written.split():
        first, _, last = word.partition("-")
        patients += [f"{number:0{len(first)}d}" for number in range(int(first), int(last or first) + 1)]
    return patients


def by_number(cases: Sequence[Case], end_diastole: bool = False) -> dict[int, list[Case]]:
    """The cases of each patient, or those of ACDC's end of diastole alone, by the number that ends the patient's name.

    Raises:
        ValueError: when a number fits several patients.
    """
    numbered: dict[int, list[Case]] = {}
    owner: dict[int, str] = {}
    for patient, group in by_patient(cases).items():
        found = re.search(r"(\d+)$", patient)
        chosen = _end_diastole(group) if end_diastole else group
        if not found or not chosen:
            continue
        number = int(found.group(1))
        if owner.setdefault(number, patient) != patient:
            raise ValueError(
                f"number {number} fits both {owner[number]!r} and {patient!r}; give the cases of one data set only"
            )
        numbered[number] = chosen
    return numbered


def _end_diastole(group: list[Case]) -> list[Case]:
    for frame in ("_frame01", "_frame04"):
        chosen = [case for case in group if frame in str(case["image"]).replace("\\", "/").rsplit("/", 1)[-1]]
        if chosen:
            return chosen
    return []
