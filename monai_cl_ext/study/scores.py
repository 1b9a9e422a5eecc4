# SPDX-License-Identifier: Apache-2.0
"""Scores of the volumes that a bundle's inference wrote, one row for each volume, class and metric."""

from __future__ import annotations

import re
from collections import defaultdict
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


def names_of_predictions(cases: Sequence[Case]) -> dict[str, str]:
    """The image file of each case by the name under which MONAI's SaveImage keeps its prediction.

    Of a name that ends in ``.NII.GZ`` SaveImage takes off ``.GZ`` alone.

    Raises:
        ValueError: when two images have one name, of which the later prediction would replace the earlier one.
    """
    found: dict[str, str] = {}
    for image in map(image_file, cases):
        name = create_file_basename("", Path(image).name, ".", separate_folder=False, makedirs=False)
        other = found.setdefault(name, image)
        if other != image:
            raise ValueError(
                f"{other} and {image} have the same name, by which predictions are kept, so that one would replace the "
                "other; give each image a name of its own, such as by a folder of links PATIENT.nii.gz"
            )
    return found


def find_predictions(cases: Sequence[Case], folder: Path) -> dict[str, Path]:
    """The file of each case below a folder: ``<name>_<postfix>.nii`` or ``.nii.gz``, as MONAI's SaveImage writes it.

    Raises:
        FileNotFoundError: when a case has none.
        ValueError: when a case has several, or two cases have one name.
    """
    names = names_of_predictions(cases)
    files: dict[str, list[Path]] = defaultdict(list)
    for path in predicted(folder, "*_*.nii*"):
        ends = [match.start() for match in re.finditer("_", path.name)]
        longest = next((path.name[:end] for end in reversed(ends) if path.name[:end] in names), None)
        if longest is not None:
            files[longest].append(path)
    for name in names:
        if not files[name]:
            raise FileNotFoundError(f"{folder}: found no prediction {name}_*.nii.gz; does inference.json save it?")
        if len(files[name]) > 1:
            first, second, *_ = files[name]
            raise ValueError(
                f"{folder}: found {len(files[name])} predictions of {name}: {first}, {second}; expected one"
            )
    return {image: files[name][0] for name, image in names.items()}


def read_scores(path: Path) -> pd.DataFrame:
    """Scores as they were written: the patient 001 stays 001, and only numbers can be missing."""
    types = dict.fromkeys(TEXT, str)
    table = csv_files.read_table(path, dtype=types, na_values={"value": [""], "learning_rate": [""]})
    return table.astype({"value": float}) if "value" in table else table
