# SPDX-License-Identifier: Apache-2.0
"""Scores of the photographs that a bundle's inference classified, in the rows that a comparison reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cl_ext import csv_files
from monai_cl_ext.data.splits import Case
from monai_cl_ext.names import well_formed
from monai_cl_ext.study.layout import predicted
from monai_cl_ext.study.scores import COLUMNS
from monai_cl_ext.study.statistics import pseudo_values

PREDICTIONS = "predictions.csv"


def score_pictures(cases: Sequence[Case], probabilities: np.ndarray, classes: Mapping[int, str]) -> pd.DataFrame:
    """Scores of the photographs of one test set.

    AUROC and AUPR are scores of all patients together: there is none of a single patient. Their rows, one for each
    patient and class, hold :func:`statistics.pseudo_values`, whose mean over patients is the score of the test set and
    whose mean over classes is the macro score; as the volume they name the patient. Accuracy (1 or 0) and Brier score
    (sum over classes of the squared error of the probability, 0 to 2) have a row for each photograph, with its own
    class; their means are over the photographs of a patient, then over patients.

    Args:
        cases: with "image", "label" (the name of a class) and "patient".
        probabilities: (N, C), of each case in the order of the classes.
        classes: name of each class, 1, 2, ...

    Returns:
        Columns volume, patient, class, metric, value, missed (never).

    Raises:
        ValueError: when a probability is not finite, or a label is no class.
    """
    names = list(classes.values())
    numbers = np.array([names.index(case["label"]) for case in cases])
    patients = [str(case["patient"]) for case in cases]
    rows = [
        (patient, patient, name, metric, value)
        for metric, values in pseudo_values(probabilities, numbers, patients).items()
        for patient, of_patient in zip(sorted(set(patients)), values.tolist(), strict=True)
        for name, value in zip(names, of_patient, strict=True)
    ]
    right = (probabilities.argmax(axis=1) == numbers).astype(float)
    brier = ((probabilities - np.eye(len(names))[numbers]) ** 2).sum(axis=1)
    top = os.path.commonpath([str(Path(case["image"]).parent) for case in cases])
    pictures = [os.path.relpath(case["image"], top) for case in cases]
    for metric, each in (("accuracy", right), ("brier", brier)):
        labels = (str(case["label"]) for case in cases)
        rows += zip(pictures, patients, labels, [metric] * len(cases), each.tolist(), strict=True)
    told = [(*(well_formed(str(text)) for text in row[:3]), *row[3:], False) for row in rows]  # pandas takes no others
    return pd.DataFrame(told, columns=list(COLUMNS))


def read_probabilities(cases: Sequence[Case], folder: Path, classes: Mapping[int, str]) -> np.ndarray:
    """The probabilities (N, C) of the cases, from the one predictions.csv below a folder.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when there are several, or its classes or its photographs are not those of the study.
    """
    files = predicted(folder, PREDICTIONS)
    if not files:
        raise FileNotFoundError(f"{folder}: found no {PREDICTIONS}; does inference.json write it?")
    if len(files) > 1:
        raise ValueError(f"{folder}: found {len(files)} files {PREDICTIONS}: {files[0]}, {files[1]}; expected one")
    names = [well_formed(name) for name in classes.values()]
    table = csv_files.read_table(files[0], dtype={"image": str})
    if list(table.columns) != ["image", *names]:
        raise ValueError(
            f"{files[0]}: expected the columns image, {', '.join(names)}, found {', '.join(table.columns)}"
        )
    images = [well_formed(case["image"]) for case in cases]
    if table["image"].duplicated().any() or set(table["image"]) != set(images):
        raise ValueError(
            f"{files[0]}: expected one row for each of the {len(images)} scored photographs, found {len(table)} rows; "
            "remove the folder of the cell and run again"
        )
    return table.set_index("image").loc[images, names].to_numpy(float)
