# SPDX-License-Identifier: Apache-2.0
"""Whether the scores of an evaluation hold for what was trained."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.packing.kinds import Kind
from monai_cl_ext.packing.references import reached
from monai_cl_ext.visualize.records import Record

SERVED_APART = (
    "validate#preprocessing", "validate#prepared", "validate#inferer", "validate#postprocessing", "standardization",
)  # fmt: skip
"""Ids of train.json that make the predictions which are scored, and that inference.json has in a form of its own."""
VALIDATION = "validation"
OF_THE_PLACE = ("bundle_root", "dataset_dir")  # compared as folders


@dataclass(frozen=True)
class Stage:
    """A stage that ran in a bundle's folder.

    Attributes:
        record: see ``handlers.RunRecord``.
        config: that it ran by, with overlays and options.
        folder: of the bundle.
    """

    record: Record
    config: Mapping[str, Any]
    folder: Path

    @property
    def data_folder(self) -> str:
        """``dataset_dir``; a relative one is taken from where the stage was started."""
        given = str(self._parser().get_parsed_content("dataset_dir"))
        return str(Path(self.record.get("working_directory", ""), given))

    @property
    def parser(self) -> ConfigParser:
        """Of the configuration, with the folders of the bundle and of the data as they are now."""
        return self._parser(dataset_dir=self.data_folder)

    def _parser(self, **values: str) -> ConfigParser:
        return ConfigParser({**copy.deepcopy(dict(self.config)), "bundle_root": str(self.folder), **values})

    @property
    def settings(self) -> dict[str, Any]:
        """By config id: as the record tells them, the others as the configuration has them."""
        return {**self.config, **self.record["settings"]}


def why_unscored(kind: Kind, training: Stage, evaluation: Stage) -> str:
    """Why the scores of an evaluation are none of the test part of a training; empty where they are.

    They are where images were prepared, split and predicted alike, and no patient that was scored has been trained on
    or has chosen the weights; patients of the validation part, which are said to have chosen them, excepted.

    Args:
        kind: what is predicted.
        training: of the weights.
        evaluation: of the same weights.
    """
    if evaluation.record["settings"].get("test_dir"):
        return "evaluated on the images of another folder, test_dir"
    reasons = []
    trained, evaluated = training.settings, evaluation.settings
    prepared = [name for name in kind.prepared if name in trained and evaluated.get(name) != trained[name]]
    if prepared:
        told = (f"{name} {evaluated.get(name)}, trained at {trained[name]}" for name in prepared)
        reasons.append("evaluated at " + "; ".join(told))
    if others := [name for name in _changed(training, evaluation) if name not in kind.prepared]:
        reasons.append(f"evaluated with another {' and '.join(others)} than it was trained with")
    part, scored = next(iter(evaluation.record["data"].items()))
    seen = {
        patient
        for name, card in training.record["data"].items()
        if not part == name == VALIDATION
        for patient in card["patient_of_volume"]
    }
    if known := seen.intersection(scored["patient_of_volume"]):
        reasons.append(f"evaluated on {len(known)} patient(s) of the data that it was trained on or chosen by")
    return "; ".join(reasons)


def _changed(training: Stage, evaluation: Stage) -> Sequence[str]:
    """Ids that make the parts of the data, or the predictions, and that an evaluation had otherwise."""
    stages = (training, evaluation)
    trained, evaluated = (ConfigParser(copy.deepcopy(dict(stage.config))) for stage in stages)
    predicting = {name for parser in (trained, evaluated) for name in reached(parser, *SERVED_APART)}
    splitting = {name for parser in (trained, evaluated) for name in reached(parser, "split")}
    folders = {os.path.realpath(stage.data_folder) for stage in stages}
    moved = ["dataset_dir"] * (len(folders) > 1)
    names = predicting if _same_split(stages) else predicting | splitting
    return moved + sorted(
        name for name in names.difference(OF_THE_PLACE) if plain(trained.get(name)) != plain(evaluated.get(name))
    )


def _same_split(stages: Sequence[Stage]) -> bool:
    """Whether both had the same cases in the same parts, however these were told, as far as they can be read again."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were told when it was trained
            first, second = (stage.parser.get_parsed_content("split") for stage in stages)
    except Exception:  # data that were moved, or whatever an expression meets without them
        return False
    return bool(first == second)


def plain(value: Any) -> str:
    """A value to be compared, with references as MONAI's parser rewrites them."""
    return str(value).replace("::", "#")
