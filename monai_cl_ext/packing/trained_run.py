# SPDX-License-Identifier: Apache-2.0
"""What a training left in its bundle's folder: the configuration it ran by, its weights and its scores."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl_ext.recipes.predict import trained_bundle
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.visualize.records import Record, Run, find_runs

RECORDS = "eval"


@dataclass(frozen=True)
class TrainedRun:
    """A bundle whose train.json has completed.

    Attributes:
        bundle: with the folder's own configs, without overlays and options.
        config: that the training ran by, with overlays and options.
        training: its record, see ``handlers.RunRecord``.
        evaluation: the record of the evaluation of these weights; None without one.
        scores: rows of its metrics.csv.
    """

    bundle: Bundle
    config: dict[str, Any]
    training: Record
    evaluation: Record | None
    scores: list[Record]

    @property
    def weights(self) -> Path:
        """The state of the network."""
        return self.bundle.folder / "models" / "model.pt"


def trained_run(run: str) -> TrainedRun:
    """Reads a folder that ``train`` wrote, or a bundle's folder.

    Raises:
        FileNotFoundError: when it is neither, or train.json has not completed in it.
        ValueError: when a record cannot be read.
    """
    folder = trained_bundle(Path(os.path.realpath(run)))
    records = folder / RECORDS
    stages: dict[str, Record] = next((found.stages for found in _runs(records) if found.folder == records), {})
    training = stages.get("train")
    if training is None or not training["completed"]:
        found = "none" if training is None else f"one that ended after {training['epochs']} of its epochs"
        raise FileNotFoundError(
            f"{run}: expected the record {RECORDS}/run_train.json of a training that has completed, found {found}; run "
            "configs/train.json to its end in this folder, with its own output_dir and ckpt_dir"
        )
    kind = Bundle(folder).read("metadata")["network_data_format"]["outputs"]["pred"]["format"]
    if kind != "segmentation":
        raise ValueError(f"{run}: expected a bundle that segments, found {kind}; others cannot be packed yet")
    config = _config(records / "config_train.json")
    evaluation = stages.get("evaluate")
    scores: list[Record] = []
    if evaluation is not None and evaluation["completed"] and evaluation["begun"] >= training["ended"]:
        scores = next(found.scores() or [] for found in _runs(records) if found.folder == records)
    return TrainedRun(Bundle(folder), config, training, evaluation if scores else None, scores)


def _runs(records: Path) -> list[Run]:
    return find_runs(records) if any(records.glob("run_*.json")) else []


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: found none, so nothing tells which settings the training had (a run of an older version, or one "
            "that was not started from its configs); train again"
        )
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); train again") from error
    return content
