# SPDX-License-Identifier: Apache-2.0
"""Which patients a study pre-trains on, may label, selects with and tests on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from monai_cl_ext.data.file_names import case_name, image_file
from monai_cl_ext.data.same_volumes import warn_of_same_volumes
from monai_cl_ext.data.splits import Case, by_patient, labelled_patients, split_patients

Split: TypeAlias = dict[str, list[Case]]
"""Cases under "pretrain", "train" (labeled patients are drawn from these), "validation" and "test"."""

PARTS = ("pretrain", "train", "validation", "test")


def make_splits(
    cases: Sequence[Case], validation: int | float, test: int | float, folds: int = 0, seed: int = 0
) -> list[Split]:
    """One split into training, validation and test patients, or one for each fold.

    Patients that share an image under different names are in one fold, and in no other part of it.

    Args:
        cases: as from ``data.find_cases``.
        validation: patients to select with, a number or a fraction of those with labels.
        test: patients to test on, likewise; without a meaning when there are folds.
        folds: so many groups of the patients with labels, each the test set of one split; 0: one split.
        seed: of the draws.

    Raises:
        ValueError: when there are too few patients.
    """
    if not folds:
        return [split_patients(cases, validation, test, seed)]
    labelled = labelled_patients(by_patient(cases))
    if not 2 <= folds <= len(labelled):
        raise ValueError(f"folds must be from 2 to {len(labelled)}, the number of patients with labels, found {folds}")
    order = [labelled[index] for index in np.random.default_rng(seed).permutation(len(labelled))]
    first = warn_of_same_volumes(cases)
    fold_of: dict[str, int] = {}
    for place, patient in enumerate(order):
        fold_of.setdefault(first[patient], place % folds)
    if len(set(fold_of.values())) < folds:
        raise ValueError(
            f"folds must be at most {len(fold_of)}, the number of patients with labels and different images, found "
            f"{folds}; ask for fewer, or remove the copies"
        )
    splits = []
    for fold in range(folds):
        rest = [case for case in cases if fold_of.get(first[case["patient"]]) != fold]
        split = split_patients(rest, validation, 0, seed)
        tested = {patient for patient in labelled if fold_of[first[patient]] == fold}
        split["test"] = [case for case in cases if case["patient"] in tested]
        splits.append(split)
    return splits


def read_split(path: str | Path, cases: Sequence[Case]) -> Split:
    """The split of a JSON file: lists of patients or of volumes (file names) under "train", "validation" and "test".

    Without a list "pretrain" the training cases are pre-trained on, and all others but those of patients of whom
    something is in "validation" or "test".

    Raises:
        ValueError: when the file is malformed, or names something that is not among the cases.
    """
    try:
        lists = json.loads(Path(path).read_text(encoding="utf-8"))
        missing = [part for part in PARTS[1:] if not lists[part]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path}: expected {{"train": [...], "validation": [...], "test": [...]}} '
            f"with patients or volumes ({error!r})"
        ) from error
    if missing:
        raise ValueError(f"{path}: the list {missing[0]!r} is empty; name at least one patient")
    split = {part: _named(lists[part], cases, f"{path}, {part}") for part in PARTS if part in lists}
    if "pretrain" not in split:
        trained = {image_file(case) for case in split["train"]}
        held_out = {case["patient"] for part in ("validation", "test") for case in split[part]}
        rest = [case for case in cases if image_file(case) not in trained and case["patient"] not in held_out]
        split["pretrain"] = [*split["train"], *rest]
    return split


def _named(names: Sequence[str], cases: Sequence[Case], place: str) -> list[Case]:
    numbers: dict[str, list[int]] = defaultdict(list)  # of the cases of each patient and of each name
    for number, case in enumerate(cases):
        for name in {case["patient"], case_name(case["image"])}:
            numbers[name].append(number)
    for name in names:
        if name not in numbers:
            raise ValueError(f"{place}: {name!r} is neither a patient nor a volume of the {len(cases)} cases found")
    chosen = dict.fromkeys(number for name in names for number in numbers[name])  # each once
    return [cases[number] for number in chosen]


def with_held_out_patients(split: Mapping[str, Sequence[Case]]) -> Split:
    """The split whose pre-training also sees the images of validation and test patients (transductive)."""
    seen = {image_file(case) for case in split["pretrain"]}
    added = [case for part in ("validation", "test") for case in split[part] if image_file(case) not in seen]
    return {**{part: list(found) for part, found in split.items()}, "pretrain": [*split["pretrain"], *added]}
