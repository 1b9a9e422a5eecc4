# SPDX-License-Identifier: Apache-2.0
"""Bundles of segmentation: label maps of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl_ext.data import class_names
from monai_cl_ext.packing.kinds.kind import ALL, Kind
from monai_cl_ext.recipes.folder import trained_metadata
from monai_cl_ext.study.problems import Segmentation
from monai_cl_ext.study.statistics.intervals import Estimate, crossed_interval
from monai_cl_ext.visualize.records import Run

ENDS = {"dice": (0, 1), "hd95": (0, np.inf)}
"""The values that a metric can have, at which intervals end."""


class Volumes(Kind):
    """Label maps of volumes, scored by Dice and HD95."""

    problem = Segmentation()
    counted = "volumes"
    task = "Segmentation of"
    prepared = ("spatial_dims", "slice_axis", "pixdim", "image_size", "in_channels", "nonzero", "window")
    serves = "`DIR` holds NIfTI volumes; label maps are written to `OUT`, on the grid of the input."
    whole = " --initial_network#part all"
    begins = (
        "The last command begins with all weights; without `--initial_network#part all` with those of the encoder "
        "alone, as for other classes."
    )
    unit_test = "zoo_test_volumes.py.txt"

    def class_names(self, settings: Mapping[str, Any], evaluated: Mapping[str, Any]) -> list[str]:
        """Of the foreground: those of the evaluation or its config, else of the data set, else their numbers."""
        number, known = int(settings["num_classes"]), evaluated.get("class_names")
        if not (isinstance(known, list) and len(known) == number - 1):
            known = class_names(str(settings["dataset_dir"]), number)
        return list(known or (f"class {label}" for label in range(1, number)))

    def metadata(
        self, known: Mapping[str, Any], names: Sequence[str], data: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As the recipe ``train`` writes them."""
        return trained_metadata(known, names, Path(settings["dataset_dir"]), data, settings)

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """One for each volume and class."""
        return Run("", folder, {}).scores() or []

    def estimates(self, rows: Sequence[Mapping[str, Any]], card: Mapping[str, Any]) -> dict[str, dict[str, Estimate]]:
        """Means by t; volumes of a patient are averaged first, a class that both maps of a volume lack is left out."""
        patient_of = dict(zip(card["volume_names"], card["patient_of_volume"], strict=True))
        classes = list(dict.fromkeys(row["class"] for row in rows))
        estimates = {}
        for metric, (least, most) in ENDS.items():
            table: dict[str, dict[str, list[float]]] = {}
            for row in rows:
                table.setdefault(patient_of[row["volume"]], {}).setdefault(row["class"], []).append(row[metric])
            values = np.array([[_mean(row.get(name, [])) for name in classes] for row in table.values()])
            columns = {ALL: [_mean(row) for row in values], **dict(zip(classes, values.T, strict=True))}
            found = {name: crossed_interval(np.array([column])) for name, column in columns.items()}
            estimates[metric] = {
                name: replace(each, low=np.clip(each.low, least, most), high=np.clip(each.high, least, most))
                for name, each in found.items()
            }
        return estimates


def _mean(values: object) -> float:
    known = [value for value in np.asarray(values, dtype=float) if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
