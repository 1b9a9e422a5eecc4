# SPDX-License-Identifier: Apache-2.0
"""What a training left in its bundle's folder: the configuration it ran by, its weights and its scores."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.files import sha256_of
from monai_cl_ext.packing.evaluations import Stage, why_unscored
from monai_cl_ext.packing.kinds import KINDS, Kind
from monai_cl_ext.recipes.plan import PLAN
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
        scores: rows of its metrics.csv; none where they do not hold for the bundle.
        unscored: why there are none.
        records: of all stages that ran in the folder, those of pre-training and of other folders in eval too.
    """

    bundle: Bundle
    config: dict[str, Any]
    training: Record
    evaluation: Record | None
    scores: list[Record]
    unscored: str = ""
    records: Sequence[Record] = ()

    @property
    def kind(self) -> Kind:
        """What it predicts."""
        return KINDS[self.bundle.read("metadata")["network_data_format"]["outputs"]["pred"]["format"]]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of the training by config id: as its record tells them, the others as its configuration has them.

        A relative ``dataset_dir`` is taken from where the training was started; of ``train`` it is the folder that
        it was given.
        """
        plan = self.bundle.folder.parent / PLAN
        if plan.is_file():
            data = str(json.loads(plan.read_text(encoding="utf-8"))["given"]["data_dir"])
        else:
            data = Stage(self.training, self.config, self.bundle.folder).data_folder
        return {**self.config, "dataset_dir": data, **self.training.get("settings", {})}

    @property
    def class_names(self) -> list[str]:
        """Names of the classes that are scored."""
        told = {} if self.evaluation is None else self.evaluation["settings"]
        return self.kind.class_names(
            self.settings, {"class_names": self.bundle.read("evaluate").get("class_names"), **told}
        )

    @property
    def weights(self) -> Path:
        """The state of the network."""
        return self.bundle.folder / "models" / "model.pt"


def trained_run(run: str) -> TrainedRun:
    """Reads a folder that ``train`` wrote, or a bundle's folder.

    Raises:
        FileNotFoundError: when it is neither, or train.json has not completed in it.
        ValueError: when the bundle predicts something else, a record cannot be read, or the weights are not those of
            the recorded training: it kept its own in another folder, or a later one replaced them.
    """
    folder = trained_bundle(Path(os.path.realpath(run)))
    records = folder / RECORDS
    runs = _runs(records)
    stages: dict[str, Record] = next((found.stages for found in runs if found.folder == records), {})
    training = stages.get("train")
    if training is None or not training["completed"]:
        found = "none" if training is None else f"one that ended after {training['epochs']} of its epochs"
        raise FileNotFoundError(
            f"{run}: expected the record {RECORDS}/run_train.json of a training that has completed, found {found}; run "
            "configs/train.json to its end in this folder, with its own output_dir and ckpt_dir"
        )
    bundle = Bundle(folder)
    kind = bundle.read("metadata")["network_data_format"]["outputs"]["pred"]["format"]
    if kind not in KINDS:
        raise ValueError(
            f"{bundle.path('metadata')}: expected a prediction whose format is {' or '.join(KINDS)}, found {kind!r}; "
            "others cannot be packed"
        )
    config = _config(records / "config_train.json")
    if not _kept_beside(config, folder):
        raise ValueError(
            f"{folder}: expected the weights of its training in models/, found that it kept them in ckpt_dir "
            f"{config['ckpt_dir']!r}; train without --ckpt_dir and --output_dir, which lie in the bundle's folder then"
        )
    weights = folder / "models" / "model.pt"
    if training.get("weights_sha256") not in (None, sha256_of(weights)):
        raise ValueError(
            f"{weights} is not what the training of {RECORDS}/run_train.json wrote: a later one with its own "
            "--output_dir has replaced it; run train.json again in this folder, without --output_dir"
        )
    evaluation = stages.get("evaluate")
    if evaluation is None or not evaluation["completed"]:
        evaluation, unscored = None, "not evaluated before it was packed"
    else:
        evaluated = _config(records / "config_evaluate.json")
        if evaluation["begun"] < training["ended"] or not _kept_beside(evaluated, folder):
            evaluation, unscored = None, "evaluated with other weights"
        else:
            ran = (Stage(training, config, folder), Stage(evaluation, evaluated, folder))
            unscored = why_unscored(KINDS[kind], *ran)
    scores: list[Record] = []
    if not unscored:
        scores = KINDS[kind].rows(records)
        unscored = "" if scores else f"{RECORDS}/metrics.csv has none"
    every = [record for found in runs for record in found.stages.values()]
    return TrainedRun(bundle, config, training, evaluation, scores, unscored, every)


def _kept_beside(config: Mapping[str, Any], folder: Path) -> bool:
    """Whether a run had its weights in the folder's models/, wherever the folder lay then, beside its records."""
    parser = ConfigParser(copy.deepcopy(dict(config)))
    weights, records = (Path(os.path.abspath(parser.get_parsed_content(name))) for name in ("ckpt_dir", "output_dir"))
    return weights in (records.parent / "models", folder / "models")


def _runs(records: Path) -> list[Run]:
    return find_runs(records) if any(records.glob("run_*.json")) else []


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: found none, so nothing tells which settings this stage had (a run of an older version, or one "
            "that was not started from its configs); run it again"
        )
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); run the stage again") from error
    return content
