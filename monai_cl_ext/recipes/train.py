# SPDX-License-Identifier: Apache-2.0
"""Trains on a folder of volumes with few labels: checks, chooses, pre-trains, trains, reports."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_cl_ext.data.decathlon import DESCRIPTION
from monai_cl_ext.data.described_labels import foreground_names
from monai_cl_ext.data.file_names import existing_folder, files_of
from monai_cl_ext.data.folders import find_cases
from monai_cl_ext.data.loading import is_picture
from monai_cl_ext.data.store import file_contents
from monai_cl_ext.data_check.facts import WARNING
from monai_cl_ext.handlers.class_names import refuse_reserved
from monai_cl_ext.names import first_names
from monai_cl_ext.recipes.choices import Choice, data_choices, device_choice
from monai_cl_ext.recipes.gate import checked_data
from monai_cl_ext.recipes.patients import held_classes, labelled_patients, training_split, validation_patients
from monai_cl_ext.recipes.plan import LOG, TrainingPlan
from monai_cl_ext.recipes.recipe import TrainingRecipe, recipe_for
from monai_cl_ext.recipes.stages import Training
from monai_cl_ext.screen import Say, logged_to
from monai_cl_ext.study.probe import expected_seconds
from monai_cl_ext.study.recipe import make_recipes
from monai_cl_ext.study.scheduler import alone
from monai_cl_ext.visualize import write_report
from monai_cl_ext.visualize.wording import duration


def train(
    data_dir: str,
    output: str,
    validation: int | None = None,
    recipe: TrainingRecipe | str | None = None,
    **layout: Any,
) -> Path:
    """Trains on the volumes of a folder, or goes on with what was stopped; what is done is not run again.

    Args:
        data_dir: folder of the volumes, see ``data.find_cases``.
        output: folder of the training: log.txt, check, pretraining, bundle and report.html go there.
        validation: labeled patients to hold back; None holds back a share, or none where there are few.
        recipe: what to run; a method of a study is run with the schedule of the recipe for so many labels, and None is
            this recipe.
        layout: arguments of ``data.find_cases``: label_dir, label_suffix, patient_pattern.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: when training cannot start on these data, or the folder holds another training.
        FileExistsError: when the folder holds something else.
    """
    root, data = Path(os.path.realpath(output)), os.path.realpath(existing_folder(data_dir, "data_dir"))
    if root.is_relative_to(data):
        raise ValueError(f"output {root} lies in the data, {data}, and would be read as such; give another output")
    layout = {name: os.path.realpath(text) if name == "label_dir" else text for name, text in layout.items()}
    given = {
        "data_dir": data, "validation_patients": validation,
        "recipe": asdict(recipe) if isinstance(recipe, TrainingRecipe) else recipe,
        **{name: layout.get(name) for name in ("label_dir", "label_suffix", "patient_pattern")},
    }  # fmt: skip
    TrainingPlan.read(root)  # before anything is written there
    root.mkdir(parents=True, exist_ok=True)
    with alone(root), logged_to(root / LOG) as say:
        cases = find_cases(data, **layout)
        plan = TrainingPlan.read(root)
        goes_on = plan is not None
        if plan is None:
            plan = _begin(given, cases, layout, root, say)
            plan.write()
        else:
            plan.refuse_changes(given, file_contents(cases))
        training = Training(plan, root)
        _show(plan, training, say)
        if goes_on:
            say("goes on where it stopped")
        if not training.some_done:
            say("timing some steps of each stage")
            say(f"expected: about {duration(sum(expected_seconds(training.tasks()).values()))} on this machine")
        try:
            training.run(say)
        except KeyboardInterrupt:
            say("\nstopped; the same command goes on after the last complete epoch")
            raise
        page = write_report(root)
        say(f"\nbundle: {training.bundle.folder}\nreport: {page}\nlog: {root / LOG}")
        say(f"next: python -m monai_cl_ext predict {shlex.quote(output)} IMAGES --output OUT")
    return training.bundle.folder


def _begin(
    given: Mapping[str, Any], cases: list[dict[str, Any]], layout: Mapping[str, str], root: Path, say: Say
) -> TrainingPlan:
    """The plan for these cases."""
    _refuse_pictures(given["data_dir"], cases)
    labelled = labelled_patients(cases)
    if not labelled:
        raise ValueError(
            f"{given['data_dir']}: found {len(cases)} volume(s), but no label; give the folder of the labels of some "
            "of them as --labels"
        )
    number, reason = validation_patients(len(labelled), given["validation_patients"])
    contents = file_contents(cases)
    facts, suggestion = checked_data(given["data_dir"], layout, root / "check", say)
    split = training_split(cases, number)
    if split["validation"] and not held_classes(split["validation"], facts):
        reason = (
            f"the labels of {number} of them, such as {split['validation'][0]['label']}, hold no class and choose no "
            "weights, so all are trained on and the last weights are taken; nothing tells how good they are"
        )
        say(f"{WARNING}: {reason}")
        number = 0
        split = training_split(cases, 0)
    unlabelled = sum(not case.get("label") for case in split["pretrain"])
    recipe = given["recipe"]
    own = isinstance(recipe, dict)
    chosen = TrainingRecipe(**recipe) if own else recipe_for(len(labelled) - number, unlabelled, recipe)
    pretraining = make_recipes({"training": chosen.method})["training"].pretraining
    fitting = data_choices(suggestion, facts, split["pretrain"], pretraining)
    choices = [
        Choice("validation", sorted({case["patient"] for case in split["validation"]}), reason),
        *(choice for choice in fitting if choice.name not in chosen.settings),
        *(Choice(name, value, "by the recipe") for name, value in chosen.settings.items()),
    ]
    named = foreground_names(Path(given["data_dir"]))
    classes = [named.get(number, f"class {number}") for number in range(1, suggestion.settings["num_classes"])]
    refuse_reserved(classes)
    validated, learned = (held_classes(split[part], facts) for part in ("validation", "train"))
    held = sorted(validated | learned)
    if not named and 2 * len(held) < len(classes):
        raise ValueError(
            f"{given['data_dir']}: its labels hold the values {first_names([0, *held])}, which would make "
            f"{len(classes) + 1} classes; write them as 0 to {len(held)}, or name all classes in a {DESCRIPTION}"
        )
    if unseen := [classes[number - 1] for number in sorted(validated - learned) if number <= len(classes)]:
        say(
            f"{WARNING}: {', '.join(unseen)}: held by validation patients only, so that the training cannot learn it; "
            "label it in another patient, or give another number as --validation_patients, 0 for none"
        )
    return TrainingPlan(str(root), dict(given), contents, split, chosen, choices, classes)


def _refuse_pictures(data_dir: str, cases: list[dict[str, Any]]) -> None:
    """Refuses pictures, which ``predict`` does not take, before any is read."""
    pictures = [file for case in cases for file in files_of(case["image"]) if is_picture(file)]
    if pictures:
        raise ValueError(
            f"{data_dir}: train takes NIfTI volumes, found {len(pictures)} picture(s) such as {pictures[0]}; "
            "docs/own_data.md#pictures-and-dicom-series has an overlay for pictures with masks, which bundles take: "
            "python -m monai.bundle run --config_file \"['configs/train.json','configs/isic.json']\"; "
            "dino_classification is the bundle for photographs that have a class"
        )


def _show(plan: TrainingPlan, training: Training, say: Say) -> None:
    """Prints each value that was chosen with its reason."""
    told = [*plan.choices, Choice("method", plan.recipe.method, plan.recipe.reason), device_choice()]
    say("\nchosen")
    for choice in [*told, *training.schedules()]:
        say(f"  {choice.name} {_text(choice.value)}: {choice.reason}")
    say("")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
