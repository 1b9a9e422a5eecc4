# SPDX-License-Identifier: Apache-2.0
"""Studies of classification: cases are photographs with a class each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl_ext.data.file_names import name_order
from monai_cl_ext.data.pictures import find_pictures
from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.layout import SCORES
from monai_cl_ext.study.problems.picture_card import picture_cards, picture_hash
from monai_cl_ext.study.problems.problem import Problem

if TYPE_CHECKING:
    import pandas as pd

    from monai_cl_ext.study.splits import Split

AT_LEAST = 2
"""Patients with a class, and patients without it, that its AUROC and its spread over patients take."""


def photographs(dataset_dir: str, table: str | None = None, columns: Mapping[str, str] | None = None) -> list[Case]:
    """The photographs of a study; the label is the name of the class.

    Args:
        dataset_dir: Folder of class folders, or with a table, see data.find_pictures.
        table: CSV file of photographs, their labels and patients; labels.csv of the folder by default.
        columns: Names of its columns where they are not image, label and patient: "{label: grade}".

    Raises:
        ValueError: when an argument is wrong.
        FileNotFoundError: when a folder or a file is absent.
    """
    listing = None if table is None else os.path.realpath(str(table))
    found = find_pictures(os.path.realpath(str(dataset_dir)), listing, columns)
    return [
        {"image": case["image"], "patient": case["patient"]}
        | ({"label": case["class_name"]} if "class_name" in case else {})
        for case in found
    ]


def photograph_scoring(dataset_dir: str, cases: Sequence[Case]) -> dict[str, Any]:
    """The classes of a study of photographs, as a field of its plan.

    Raises:
        ValueError: when there are fewer than two, or one has a reserved name.
    """
    from monai_cl_ext.handlers.class_names import refuse_reserved

    names = sorted({case["label"] for case in cases if "label" in case}, key=name_order)
    refuse_reserved(names)
    if len(names) < AT_LEAST:
        raise ValueError(
            f"{dataset_dir}: found the classes {names}, expected two or more; give a folder for each class, or a table "
            "with the column label"
        )
    return {"classes": dict(enumerate(names, start=1))}


class Classification(Problem):
    """Classes of photographs, scored by AUROC, AUPR, accuracy and the Brier score."""

    name = "classification"
    primary = "auroc"
    shown = ("auroc", "aupr", "accuracy")
    item = "photograph"
    tables = (SCORES,)
    maps = False
    without = ("use_spacing", "tolerance")
    cases = staticmethod(photographs)
    scoring = staticmethod(photograph_scoring)

    def num_classes(self, classes: Mapping[int, str]) -> int:
        """The classes."""
        return len(classes)

    def refuse_unscored(self, split: Split, classes: Mapping[int, str]) -> None:
        """Test patients need every class, validation patients one that tells; each twice and not in all patients."""
        names = list(classes.values())
        for case in (case for part in split.values() for case in part if case.get("label")):
            if case["label"] not in names:
                raise ValueError(f"{case['image']} has the label {case['label']!r}, expected one of {', '.join(names)}")
        for part, needed in (("test", len(names)), ("validation", 1)):
            owners = [(case["label"], case["patient"]) for case in split[part]]
            having = {name: {patient for label, patient in owners if label == name} for name in names}
            lacking = {name: {patient for label, patient in owners if label != name} for name in names}
            unfit = [name for name in names if min(len(having[name]), len(lacking[name])) < AT_LEAST]
            if len(names) - len(unfit) < needed:
                told = ", ".join(f"{len(having[name])} with and {len(lacking[name])} without {name}" for name in unfit)
                raise ValueError(
                    f"the {part} patients are too few for AUROC: found {told}, expected at least {AT_LEAST} with and "
                    f"{AT_LEAST} without {'each' if part == 'test' else 'a'} class; ask for more {part} patients"
                    f"{' or fewer folds' if part == 'test' else ''}"
                )

    def handed(self, cases: Sequence[Case], classes: Mapping[int, str]) -> list[Case]:
        """With the number of the class from 0, and an empty label where there is none."""
        numbers = {name: label - 1 for label, name in classes.items()}
        return [
            {**case, "class": numbers[case["label"]]} if case.get("label") else {**case, "label": ""} for case in cases
        ]

    def told(self, classes: Mapping[int, str]) -> dict[str, Any]:
        """The names of the classes, which drawn photographs may not all have."""
        return {"class_names": list(classes.values())}

    def image_hash(self, path: str | Path) -> str:
        """Of the pixels."""
        return picture_hash(path)

    def cards(
        self, parts: Sequence[Sequence[Case]], classes: Mapping[int, str], settings: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Patients, photographs, sizes, photographs of each class."""
        return picture_cards(parts, classes)

    def scores(self, cases: Sequence[Case], folder: Path, scoring: Mapping[str, Any]) -> pd.DataFrame:
        """AUROC, AUPR, accuracy and Brier score of the network."""
        from monai_cl_ext.study.picture_scores import read_probabilities, score_pictures

        classes = {int(label): name for label, name in scoring["classes"].items()}
        probabilities = read_probabilities(cases, folder, classes)
        return score_pictures(cases, probabilities, classes)
