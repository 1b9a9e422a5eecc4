# SPDX-License-Identifier: Apache-2.0
"""Scores of the volumes that a bundle's inference wrote, one row for each volume, class and metric."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.data.utils import create_file_basename
from monai.metrics import compute_surface_dice
from monai.networks.utils import one_hot

from monai_cl_ext import csv_files
from monai_cl_ext.data.file_names import case_name, image_file
from monai_cl_ext.data.splits import Case
from monai_cl_ext.metrics.segmentation import segmentation_scores
from monai_cl_ext.names import well_formed
from monai_cl_ext.study.alignment import aligned_labels
from monai_cl_ext.study.layout import predicted

TEXT = ("method", "volume", "patient", "class", "metric")
COLUMNS = ("volume", "patient", "class", "metric", "value", "missed")


def score_predictions(
    cases: Sequence[Case],
    predictions: Mapping[str, Path],
    classes: Mapping[int, str],
    use_spacing: bool,
    tolerance: float,
) -> pd.DataFrame:
    """Scores each case against its label on the grid of its image.

    Args:
        cases: with "image", "label" and "patient".
        predictions: the file of each case by its "image", see :func:`find_predictions`.
        classes: name of each foreground class; the labels are 1, 2, ...
        use_spacing: distances in mm; else in voxels.
        tolerance: of the normalized surface Dice, in the unit of the distances.

    Returns:
        Columns volume, patient, class, metric, value, missed. ``missed``: one of the two has no voxel of the class.
        Where both have none, the value is nan.

    Raises:
        ValueError: when a prediction or a label does not cover the box of the image, see :func:`aligned_labels`.
    """
    rows = []
    for case in cases:
        prediction, reference, steps = aligned_labels(case, predictions[image_file(case)], len(classes) + 1)
        spacing = steps if use_spacing else None
        found = segmentation_scores(prediction, reference, len(classes) + 1, spacing)
        found["surface_dice"] = surface_dice(prediction, reference, len(classes) + 1, tolerance, spacing)
        for index, name in enumerate(classes.values()):
            present = ((prediction == index + 1).any(), (reference == index + 1).any())
            for metric, values in found.items():
                names = map(
                    well_formed, (case_name(case["image"]), str(case["patient"]), name)
                )  # pandas takes no others
                rows.append((*names, metric, float(values[index]), present[0] != present[1]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def surface_dice(
    prediction: np.ndarray, reference: np.ndarray, num_classes: int, tolerance: float, spacing: Sequence[float] | None
) -> torch.Tensor:
    """Normalized surface Dice of each foreground class (Nikolov et al. 2018), as MONAI computes it.

    Where one mask is empty it is 0, where both are it is nan.

    Returns:
        Float64 of shape (num_classes - 1,).
    """
    both = [torch.as_tensor(array.astype(np.int64))[None, None] for array in (prediction, reference)]
    value = compute_surface_dice(
        *(one_hot(array, num_classes) for array in both),
        class_thresholds=[tolerance] * (num_classes - 1),
        spacing=None if spacing is None else list(spacing),
    )
    return value[0].to(torch.float64)


def find_predictions(cases: Sequence[Case], folder: Path) -> dict[str, Path]:
    """The file of each case below a folder: ``<name>_<postfix>.nii`` or ``.nii.gz``, as MONAI's SaveImage writes it.

    Of a name that ends in ``.NII.GZ`` SaveImage takes off ``.GZ`` alone.

    Raises:
        FileNotFoundError: when a case has none.
        ValueError: when a case has several.
    """
    found = {}
    image_names = (Path(image_file(case)).name for case in cases)
    names = [create_file_basename("", name, ".", separate_folder=False, makedirs=False) for name in image_names]
    for case, name in zip(cases, names, strict=True):
        longer = tuple(f"{other}_" for other in names if other.startswith(f"{name}_"))
        files = [path for path in predicted(folder, f"{glob.escape(name)}_*.nii*") if not path.name.startswith(longer)]
        if not files:
            raise FileNotFoundError(f"{folder}: found no prediction {name}_*.nii.gz; does inference.json save it?")
        if len(files) > 1:
            raise ValueError(
                f"{folder}: found {len(files)} predictions of {name}: {files[0]}, {files[1]}; expected one"
            )
        found[image_file(case)] = files[0]
    return found


def read_scores(path: Path) -> pd.DataFrame:
    """Scores as they were written: the patient 001 stays 001, and only numbers can be missing."""
    types = dict.fromkeys(TEXT, str)
    table = csv_files.read_table(path, dtype=types, na_values={"value": [""], "learning_rate": [""]})
    return table.astype({"value": float}) if "value" in table else table
