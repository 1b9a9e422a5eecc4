# SPDX-License-Identifier: Apache-2.0
"""The stages of a training, in the folders of their bundles."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from monai_cl_ext.data.splits import without_labels
from monai_cl_ext.files import atomic
from monai_cl_ext.recipes.choices import Choice, schedule_told, stage_settings
from monai_cl_ext.recipes.folder import configured_bundle, trained_metadata
from monai_cl_ext.recipes.plan import TrainingPlan
from monai_cl_ext.screen import Say
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.handover import literal
from monai_cl_ext.study.recipe import make_recipes
from monai_cl_ext.study.stage import run_stage
from monai_cl_ext.study.task import Run, Task
from monai_cl_ext.visualize.records import find_runs

NOT_HELD_OUT = {"validate#dataset": {"_target_": "monai.data.Dataset", "data": []}, "train#settings#held_out": []}
"""Of a pre-training without validation patients."""


class Training:
    """The stages of a plan: those of pre-training in ROOT/pretraining, the training and its scores in ROOT/bundle.

    Args:
        plan: what is run; the bundles are written when they are absent.
        root: folder of the training.
    """

    def __init__(self, plan: TrainingPlan, root: Path) -> None:
        method = make_recipes({"training": plan.recipe.method})["training"]
        self.plan, self.stages, self.training = plan, method.pretrain_stages, method.training.train_stages
        self.settings = {
            stage: stage_settings(bundle, stage, plan.recipe, plan.choices)
            for bundle, stages in ((method.pretraining, self.stages), (method.training, [*self.training, "inference"]))
            if bundle is not None
            for stage in stages
        }
        if not plan.split["validation"]:
            for stage in self.stages:
                self.settings[stage] |= NOT_HELD_OUT
        if method.pretraining is not None:
            pretraining = {stage: self.settings[stage] for stage in self.stages}
            self.pretraining = configured_bundle(method.pretraining, root / "pretraining", pretraining)
            for stage in self.training:
                self.settings[stage]["pretrained"] = f"$@ckpt_dir + '/{_weights(self.stages[-1])}'"
        self.bundle = configured_bundle(method.training, root / "bundle", self._training_configs(method.training))

    def _training_configs(self, bundle: Bundle) -> dict[str, dict[str, Any]]:
        """Values of each config of the bundle that trains and predicts."""
        plan = self.plan
        spaced = next(choice.value for choice in plan.choices if choice.name == "pixdim") is not None
        evaluate = {"class_names": [literal(name) for name in plan.class_names], "use_spacing": spaced}
        volumes, patients = len(plan.split["pretrain"]), {case["patient"] for case in plan.split["train"]}
        data = f"{volumes} volumes, with labels of {len(patients)} patients"
        known = {choice.name: choice.value for choice in plan.choices}
        source = Path(plan.given["data_dir"])
        return {
            **{stage: bundle.known([stage], known) for stage in bundle.pretrain_stages},
            **{stage: self.settings[stage] for stage in self.training},
            "inference": self.settings["inference"],
            "evaluate": evaluate,
            "metadata": trained_metadata(bundle.read("metadata"), plan.class_names, source, data, known),
        }

    def schedules(self) -> list[Choice]:
        """How long each stage trains."""
        reason = "by the recipe"
        return [Choice(stage, schedule_told(self.settings[stage]), reason) for stage in (*self.stages, *self.training)]

    def _data(self, stage: str) -> dict[str, Any]:
        """What is handed to a stage: pre-training sees no label."""
        if stage in self.stages:
            return {"split": {part: without_labels(cases) for part, cases in self.plan.split.items()}}
        return {"split": self.plan.split, "labelled": self.plan.split["train"]}

    def _of(self, stage: str) -> Bundle:
        return self.pretraining if stage in self.stages else self.bundle

    def tasks(self) -> list[Task]:
        """The stages as cells of a study, to be timed."""
        found = []
        for stage in (*self.stages, *self.training):
            data = {**self._data(stage), "pretrained": ""}
            runs = [Run([stage], {}, self._of(stage).known([stage], data))]
            scored = self.plan.split["validation"] if stage == "train" else []
            runs += [Run(["train", "evaluate"])] if scored else []
            found.append(Task(stage, str(self._of(stage).folder), [], runs, scored=scored))
        return found

    @property
    def some_done(self) -> bool:
        """Whether a stage of training is done."""
        return any((self._of(stage).folder / f"{stage}.done").is_file() for stage in (*self.stages, *self.training))

    def run(self, say: Say) -> None:
        """Runs what is missing; a line for each stage is shown by ``say``."""
        split = self.plan.split
        every = [*self.stages, *self.training, *(["evaluate"] if split["validation"] else [])]
        models = self.bundle.folder / "models"
        start: dict[str, Any] = {}
        for number, stage in enumerate(every, start=1):
            done = (self._of(stage).folder / f"{stage}.done").is_file()
            say(f"{number}/{len(every)} {self._told(stage)}{', done before' if done else ''}")
            if stage == "evaluate":
                part = {"part": "validation"}
                run_stage(self.bundle, ["train", stage], part, self._data("train"), logged=False)
                continue
            run_stage(self._of(stage), [stage], {}, {**self._data(stage), **start}, logged=False)
            if stage in self.stages:
                weights = self.pretraining.folder / "models" / _weights(stage)
                start = {"pretrained": str(weights)} if stage != self.stages[-1] else {}
                _copy(weights, models / weights.name)
        if split["validation"]:
            say(self._scores())
        for folder in {self._of(stage).folder for stage in every}:
            for states in (folder / "models").glob("resume_*"):
                shutil.rmtree(states)  # large, and of no use once all is done

    def _told(self, stage: str) -> str:
        """What a stage does."""
        split = self.plan.split
        if stage in self.training:
            volumes, patients = len(split["train"]), len({case["patient"] for case in split["train"]})
            named = "" if stage == "train" else f" ({stage})"
            return f"training{named} with the labels of {patients} patient(s), {volumes} volume(s)"
        if stage == "evaluate":
            return f"scores of the best weights on {len(split['validation'])} validation volume(s)"
        return f"pre-training ({stage}) on {len(split['pretrain'])} volumes, without labels"

    def _scores(self) -> str:
        """The mean Dice of each class on validation volumes."""
        evaluated = self.bundle.folder / "eval"  # and no evaluation of the user's in a folder of its own
        rows = next(run.scores() or [] for run in find_runs(evaluated) if run.folder == evaluated)
        means = {}
        for name in dict.fromkeys(row["class"] for row in rows):
            values = [row["dice"] for row in rows if row["class"] == name and row["dice"] == row["dice"]]
            means[name] = f"{sum(values) / len(values):.3f}" if values else "not defined"
        told = ", ".join(f"{name} {value}" for name, value in means.items())
        return f"mean Dice on validation volumes, which chose the weights: {told}"


def _weights(stage: str) -> str:
    """The file that a stage of pre-training writes."""
    return f"model_{stage}.pt"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with atomic(target) as temporary:
        shutil.copy(source, temporary)
