# SPDX-License-Identifier: Apache-2.0
"""Splits cases by patient: the volumes of a patient are never parted."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.data.file_names import files_of
from monai_cl_ext.data.same_volumes import warn_of_same_volumes
from monai_cl_ext.names import first_names

Case: TypeAlias = dict[str, Any]
"""One volume: {"image": path, "label"?: path, "patient": id}."""


def split_patients(
    cases: Sequence[Case], validation: int | float, test: int | float, seed: int = 0
) -> dict[str, list[Case]]:
    """Draws validation and test patients at random; all other cases are for training.

    Where there are patients whose volumes all have labels, validation and test patients are drawn from these alone,
    since the others could not be scored. The same seed gives the same test patients whatever ``validation`` is.
    Patients that share an image under different names are drawn together; where one of them is not to be drawn, all are
    for training.

    Args:
        cases: dictionaries with "patient", as from :func:`find_cases`.
        validation, test: an integer is a number of patients; a float in [0, 1) is a fraction of the patients that are
            drawn from, rounded, and at least one patient unless it is 0.
        seed: of the draw.

    Returns:
        "pretrain" and "train" (both: all cases of the remaining patients, labeled or not), "validation", "test".

    Raises:
        ValueError: when a number is out of range, or no patient would remain for training.
    """
    groups = by_patient(cases)
    first = warn_of_same_volumes(cases)
    candidates = labelled_patients(groups) or list(groups)
    counts = {
        name: _patient_count(name, wanted, len(candidates))
        for name, wanted in (("test", test), ("validation", validation))
    }
    if sum(counts.values()) >= len(candidates):
        raise ValueError(
            f"validation ({counts['validation']}) and test ({counts['test']}) leave no patient for training: "
            f"found {len(candidates)} patient(s) to draw from; ask for fewer, or add data"
        )
    order = [candidates[i] for i in np.random.default_rng(seed).permutation(len(candidates))]
    chosen = _drawn(order, counts, first)
    taken = {patient for patients in chosen.values() for patient in patients}
    return _split(cases, groups, {"train": [patient for patient in groups if patient not in taken], **chosen})


def _drawn(order: Sequence[str], counts: Mapping[str, int], first: Mapping[str, str]) -> dict[str, list[str]]:
    """So many patients for each part, from the front of the order, those that share an image together.

    Args:
        order: the patients to draw from.
        counts: of patients, for each part in turn.
        first: for every patient the one that stands for all that share an image with it.
    """
    members = Counter(first.values())
    units: dict[str, list[str]] = {}
    for patient in order:
        units.setdefault(first[patient], []).append(patient)
    whole = [unit for one, unit in units.items() if len(unit) == members[one]]
    chosen: dict[str, list[str]] = {}
    taken: set[str] = set()
    for part, count in counts.items():
        chosen[part] = []
        for unit in whole:
            if taken.isdisjoint(unit) and len(chosen[part]) + len(unit) <= count:
                chosen[part] += unit
                taken.update(unit)
        parted = [patient for patient in order if patient not in taken][: count - len(chosen[part])]
        if parted:
            chosen[part] += parted
            taken.update(parted)
            warnings.warn(
                f"{part}: no {count} patient(s) can be drawn without parting patients that share an image; "
                f"{first_names(map(repr, parted), 5)} shares one with patients of another part; ask for another "
                "number, or remove the copies",
                stacklevel=3,
            )
    return chosen


def split_by_patient(
    cases: Sequence[Case], train: Iterable[str], validation: Iterable[str], test: Iterable[str]
) -> dict[str, list[Case]]:
    """Splits by lists of patients; patients in no list are left out.

    Args:
        cases: dictionaries with "patient", as from :func:`find_cases`.
        train, validation, test: patients as they stand in "patient".

    Returns:
        "pretrain" (the same as "train"), "train", "validation", "test": the cases in their given order.

    Raises:
        ValueError: when a listed patient has no case, or stands in two lists; the message names the patient.
    """
    groups = by_patient(cases)
    warn_of_same_volumes(cases)
    return _split(cases, groups, {"train": train, "validation": validation, "test": test})


def _split(
    cases: Sequence[Case], groups: Mapping[str, list[Case]], lists: Mapping[str, Iterable[str]]
) -> dict[str, list[Case]]:
    part_of: dict[str, str] = {}
    for part, patients in lists.items():
        for patient in patients:
            if patient not in groups:
                raise ValueError(
                    f"patient {patient!r} of the {part} list has no volume among the {len(cases)} cases; "
                    f"expected one of {first_names(map(repr, groups), 5)}"
                )
            if part_of.setdefault(patient, part) != part:
                raise ValueError(
                    f"patient {patient!r} stands in the {part_of[patient]} list and in the {part} list; "
                    "keep each patient in one"
                )
    parts: dict[str, list[Case]] = {"train": [], "validation": [], "test": []}
    for case in cases:
        if case["patient"] in part_of:
            parts[part_of[case["patient"]]].append(case)
    return {"pretrain": list(parts["train"]), **parts}


def draw_patients(cases: Sequence[Case], number: int | None, seed: int = 0) -> list[Case]:
    """All cases of randomly drawn patients whose volumes all have labels.

    Draws are nested: with one seed, the patients of a smaller draw are among those of a larger one. Patients that share
    an image are drawn one by one, since what is drawn and what is not are both for training.

    Args:
        cases: dictionaries with "patient", as from :func:`find_cases`.
        number: of patients; None takes every labeled one.
        seed: of the draw.

    Raises:
        ValueError: when there are fewer labeled patients than asked for, or none.
    """
    groups = by_patient(cases)
    labelled = labelled_patients(groups)
    number = max(len(labelled), 1) if number is None else positive_integer("number", number)
    if len(labelled) < number:
        raise ValueError(
            f"expected at least {number} patient(s) with labels, found {len(labelled)} among {len(groups)} patient(s); "
            "ask for fewer, or give labels"
        )
    order = np.random.default_rng(seed).permutation(len(labelled))
    drawn = {labelled[i] for i in order[:number]}
    return [case for case in cases if case["patient"] in drawn]


def unlabelled_cases(cases: Sequence[Case], labelled: Sequence[Case]) -> list[Case]:
    """The cases that are not among the labeled ones, without their labels, for semi-supervised training.

    Args:
        cases: those for pre-training, such as ``split["pretrain"]``: no held-out patient is among them.
        labelled: those that are used with their labels, as from :func:`draw_patients`.

    Returns:
        Image and patient of each case whose image is not among those of ``labelled``.

    Raises:
        ValueError: when there is none.
    """
    taken = {tuple(files_of(case["image"])) for case in labelled}
    others = without_labels([case for case in cases if tuple(files_of(case["image"])) not in taken])
    if not others:
        raise ValueError(
            f"no patient is left without labels: all {len(cases)} volume(s) for training are used with theirs; ask for "
            "fewer labelled_patients, or add volumes without labels"
        )
    return others


def without_labels(cases: Sequence[Case]) -> list[Case]:
    """Image and patient alone of each case."""
    return [{"image": case["image"], "patient": case["patient"]} for case in cases]


def by_patient(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """The cases of each patient, patients sorted.

    Raises:
        ValueError: when there is no case, or a case without "patient".
    """
    if not cases:
        raise ValueError("cases: expected at least one volume, found none")
    groups: dict[str, list[Case]] = {}
    for case in cases:
        if "patient" not in case:
            raise ValueError(f'case {case}: expected a "patient", found none; find_cases gives one')
        groups.setdefault(case["patient"], []).append(case)
    return {patient: groups[patient] for patient in sorted(groups)}


def labelled_patients(groups: Mapping[str, list[Case]]) -> list[str]:
    """The patients whose volumes all have labels, of the cases of each patient."""
    return [patient for patient, group in groups.items() if all(case.get("label") for case in group)]


def _patient_count(name: str, wanted: int | float, available: int) -> int:
    if isinstance(wanted, Integral) and not isinstance(wanted, bool) and wanted >= 0:
        return int(wanted)
    if isinstance(wanted, float) and 0 <= wanted < 1:
        return max(round(wanted * available), int(wanted > 0))
    raise ValueError(f"{name} must be a number of patients (0, 1, 2, ...) or a fraction in [0, 1), found {wanted!r}")
