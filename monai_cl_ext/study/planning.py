# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of a study from what a user asks for, and refuses one that could not be trusted."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.data.channels import refuse_channel_files
from monai_cl_ext.data.decathlon import DESCRIPTION, label_names
from monai_cl_ext.data.folders import find_cases
from monai_cl_ext.data.patients import PATIENT_PATTERN
from monai_cl_ext.study.leaks import refuse_leaks
from monai_cl_ext.study.method_checks import named_methods, refuse_unfit_methods
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.splits import Split, make_splits, read_split, with_held_out_patients


def make_plan(
    dataset_dir: str,
    methods: str | Sequence[str] | Mapping[str, str],
    labelled: Sequence[int],
    draws: int = 3,
    seeds: int = 1,
    bundles: str | None = None,
    **others: Any,
) -> Plan:
    """The plan of a study.

    ``others`` are arguments of :func:`study_splits`, :func:`study_settings` and :func:`study_scoring`, whose errors it
    raises too.

    Args:
        dataset_dir: Folder of volumes with labels of some, see data.find_cases.
        methods: "[scratch,gcl_segmentation+strategy_gr]", or with names: "{G^R: gcl_segmentation+strategy_gr}";
            "supercl_segmentation > pcl_segmentation" pre-trains by one bundle and trains by the other.
        labelled: Numbers of labeled patients: "[1,2,8]".
        draws: Random draws of the labeled patients; the same ones serve every method.
        seeds: Trainings of each draw.
        bundles: Folder where bundles are searched first.

    Raises:
        ValueError: when an argument is wrong, or the methods cannot be compared.
        FileNotFoundError: when a bundle or an overlay is absent.
    """

    def chosen(function: Callable[..., Any]) -> dict[str, Any]:
        return {name: others.pop(name) for name in inspect.signature(function).parameters if name in others}

    scoring = study_scoring(dataset_dir, **chosen(study_scoring))
    settings = study_settings(**chosen(study_settings))
    patients = chosen(study_splits)
    if others:
        raise TypeError(f"a plan has no argument {next(iter(others))!r}")
    settings["settings"] = {"num_classes": len(scoring["classes"]) + 1, **settings["settings"]}
    plan = Plan(
        methods=named_methods(methods),
        labelled=sorted({positive_integer("labelled", number) for number in listed(labelled)}),
        draws=draws,
        seeds=seeds,
        splits=study_splits(dataset_dir, **patients),
        transductive=patients.get("transductive", False),
        folders=[str(Path(bundles).resolve())] if bundles else [],
        **settings,
        **scoring,
    )
    refuse_unfit_methods(plan)
    return plan


def study_settings(
    settings: Mapping[str, Any] | None = None,
    pretrain_settings: Mapping[str, Any] | None = None,
    stage_settings: Mapping[str, Mapping[str, Any]] | None = None,
    method_settings: Mapping[str, Mapping[str, Any]] | None = None,
    train_settings: Mapping[str, Any] | None = None,
    scratch_learning_rates: Sequence[float] = (0.0003, 0.001, 0.003),
    pretrained_learning_rates: Sequence[float] = (),
) -> dict[str, Any]:
    """The settings of a study, as fields of its plan.

    Args:
        settings: Values by config id, for every stage that has them: "{image_size: [96,96], slice_axis: 1}".
        pretrain_settings: For pre-training alone: "{epochs: 15}".
        stage_settings: For one stage of pre-training, by its name: "{pretrain_local: {epochs: 5}}".
        method_settings: For the pre-training of one method, by its name: "{'G^D weak': {strength: 0.25}}".
        train_settings: For training with labels, the same for every method: "{epochs: 10}".
        scratch_learning_rates: Of these training from scratch takes the best on validation patients; "[]" leaves the
            bundle's.
        pretrained_learning_rates: Of these every pre-trained start takes its best likewise; by default the bundle's.
    """
    groups = {
        "settings": settings, "pretrain_settings": pretrain_settings, "stage_settings": stage_settings,
        "method_settings": method_settings, "train_settings": train_settings,
    }  # fmt: skip
    for name, group in groups.items():
        if group is not None and not isinstance(group, Mapping):
            raise ValueError(f"{name} must be values by config id such as '{{epochs: 15}}', found {group!r}")
    return {
        **{name: {str(key): value for key, value in (group or {}).items()} for name, group in groups.items()},
        "scratch_learning_rates": [positive_number("learning rate", rate) for rate in listed(scratch_learning_rates)],
        "pretrained_learning_rates": [
            positive_number("learning rate", rate) for rate in listed(pretrained_learning_rates)
        ],
    }


def study_scoring(
    dataset_dir: str, classes: Sequence[str] = (), use_spacing: bool = True, tolerance: float = 2.0
) -> dict[str, Any]:
    """How a study scores, as fields of its plan.

    Args:
        dataset_dir: Folder of volumes.
        classes: Names of the labels 1, 2, ...; those of dataset.json by default.
        use_spacing: Distances in mm, by the header of the label; False takes voxels.
        tolerance: Of the surface Dice, in the same unit.

    Raises:
        ValueError: when the classes are not named.
    """
    found = dict(enumerate(map(str, listed(classes)), start=1)) or classes_of(Path(dataset_dir))
    return {"classes": found, "use_spacing": use_spacing, "tolerance": tolerance}


def refuse_unfit_plan(plan: Plan, source: str) -> None:
    """Refuses a plan that was read from a file on the grounds on which a plan is refused when it is made.

    Raises:
        ValueError: names the file; LeakError when patients are not kept apart.
        FileNotFoundError: when a bundle, an overlay or a volume is absent.
    """
    for split in plan.splits:
        absent = [case["image"] for part in split.values() for case in part if not Path(case["image"]).exists()]
        if absent:
            raise FileNotFoundError(f"{source} names {absent[0]}, which does not exist; bring the volumes back")
        refuse_leaks(split, plan.transductive)
        refuse_unscored(split)
    refuse_unfit_methods(plan)


def study_splits(
    dataset_dir: str,
    folds: int = 0,
    validation: int | float = 0.1,
    test: int | float = 0.25,
    split_seed: int = 0,
    splits: str | None = None,
    transductive: bool = False,
    label_dir: str | None = None,
    patient_pattern: str = PATIENT_PATTERN,
) -> list[Split]:
    """Who is pre-trained on, labeled, selected with and tested on.

    Args:
        dataset_dir: Folder of volumes with labels of some, see data.find_cases.
        folds: So many folds give out-of-fold scores of all patients; 0 takes one test set.
        validation: Patients to select with, a number or a fraction.
        test: Patients to test on, a number or a fraction.
        split_seed: Of these draws.
        splits: JSON file of patients instead: {"train": [...], "validation": [...], "test": [...]}.
        transductive: Pre-training also sees the images of validation and test patients; every result is marked.
        label_dir: Labels with the names of their images, for a folder without dataset.json.
        patient_pattern: Regular expression whose first group, at the start of a file's name, is the patient.

    Raises:
        ValueError: when an argument is wrong; LeakError when patients are not kept apart.
        FileNotFoundError: when a folder or a file is absent.
    """
    if splits and folds:
        raise ValueError("splits and folds both say who is tested; give one of them")
    if not isinstance(transductive, bool):
        raise ValueError(f"transductive must be True or False, found {transductive!r}")
    # The plan keeps whole paths; realpath, since Path.resolve raises a RuntimeError on a link to itself.
    labels = None if label_dir is None else os.path.realpath(str(label_dir))
    cases = find_cases(os.path.realpath(str(dataset_dir)), labels, patient_pattern)
    refuse_channel_files(cases, "a study")
    found = [read_split(splits, cases)] if splits else make_splits(cases, validation, test, folds, split_seed)
    found = [with_held_out_patients(split) for split in found] if transductive else found
    for split in found:
        refuse_leaks(split, transductive)
        refuse_unscored(split)
    return found


def refuse_unscored(split: Split) -> None:
    """Validation and test patients need labels.

    Raises:
        ValueError: when a part is empty or a volume of it has no label.
    """
    for part in ("validation", "test"):
        if not split[part]:
            raise ValueError(f"there is no {part} patient; ask for at least one")
        for case in split[part]:
            if not case.get("label"):
                raise ValueError(f"{case['image']} of the {part} patients has no label; give one, or take it out")


def listed(value: Any) -> list[Any]:
    """A list of values; one value alone, or text with commas, is one as well."""
    if isinstance(value, str):
        return [item.strip() for item in value.strip("[]() ").split(",") if item.strip()]
    return list(value) if isinstance(value, Sequence) else [value]


def classes_of(folder: Path) -> dict[int, str]:
    """Names of the foreground labels by the dataset.json of a folder.

    Raises:
        ValueError: when there is none, or it names no labels.
    """
    description = folder / DESCRIPTION
    if not description.is_file():
        raise ValueError(f"{description} does not name the labels; give --classes, such as '[RV,myocardium,LV]'")
    named = {label: name for label, name in label_names(description).items() if label > 0}
    if not named or sorted(named) != list(range(1, len(named) + 1)):
        raise ValueError(f"{description}: labels must be 1, 2, ... without gaps, found {sorted(named)}; map them first")
    return {label: named[label] for label in sorted(named)}
