# SPDX-License-Identifier: Apache-2.0
"""Bundles of classification: a class for each photograph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.packing.kinds.kind import ALL, Kind
from monai_cl_ext.recipes.folder import without_marks
from monai_cl_ext.study.handover import literal
from monai_cl_ext.study.problems import Classification
from monai_cl_ext.study.statistics.intervals import Estimate


class Photographs(Kind):
    """Classes of photographs, scored by AUROC, AUPR and accuracy."""

    problem = Classification()
    counted = "slices"
    task = "Classification of photographs as"
    prepared = ("image_size", "channels", "mean", "std")
    serves = (
        "`DIR` holds pictures, for training and evaluation in a folder for each class or with `labels.csv`; "
        "probabilities of the classes are written to `OUT/predictions.csv`."
    )
    whole = ""
    begins = "The last command begins with the weights of the backbone, and a new linear layer for the classes."
    unit_test = "zoo_test_photographs.py.txt"

    def class_names(self, settings: Mapping[str, Any], evaluated: Mapping[str, Any]) -> list[str]:
        """Those that the training had."""
        return list(settings["class_names"])

    def metadata(
        self, known: Mapping[str, Any], names: Sequence[str], data: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Colors or gray, and the classes in their order."""
        formats, numbered = known["network_data_format"], dict(enumerate(map(without_marks, names)))
        ends = (np.array([[0], [1]]) - np.array(settings["mean"])) / np.array(settings["std"])
        image = {
            **formats["inputs"]["image"],
            "value_range": [round(float(ends.min()), 2), round(float(ends.max()), 2)],
        }
        if settings["channels"] == 1:
            image |= {"format": "magnitude", "num_channels": 1, "channel_def": {"0": "gray"}}
        output = {
            **formats["outputs"]["pred"],
            "num_channels": len(names),
            "channel_def": {str(number): name for number, name in numbered.items()},
        }
        return {
            "data_source": data,
            "label_classes": ", ".join(f"{number} {name}" for number, name in numbered.items()),
            "pred_classes": "logits of the classes, in the order of models/class_names.json",
            "network_data_format": {**formats, "inputs": {"image": image}, "outputs": {"pred": output}},
        }

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """The network's, one for each score and class."""
        path = folder / "metrics.csv"
        return [row for row in read_rows(path) if row["classifier"] == "network"] if path.is_file() else []

    def estimates(self, rows: Sequence[Mapping[str, Any]], card: Mapping[str, Any]) -> dict[str, dict[str, Estimate]]:
        """As the evaluation resampled patients; over all classes the mean, of accuracy that of all photographs."""
        estimates: dict[str, dict[str, Estimate]] = {}
        for row in rows:
            value, low, high = (float(row[name]) for name in ("value", "low", "high"))
            name = ALL if row["class"] == "all" else row["class"]
            found = Estimate(value, low, high, float("nan"), card["patients"], 1, 0, "")
            estimates.setdefault(row["score"], {})[name] = found
        return estimates

    def inference(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The classes, which the training had from its data, and a network of which nothing is trained."""
        names = settings["class_names"]
        return {"num_classes": len(names), "default_class_names": list(map(literal, names)), "frozen": False}

    def beside_weights(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """The names of the classes, as ``handlers.SaveClassNames`` writes them."""
        return {"class_names.json": json.dumps(settings["class_names"])}
