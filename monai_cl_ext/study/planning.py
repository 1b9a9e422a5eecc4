# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of a study from what a user asks for, and refuses one that could not be trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.data.decathlon import read_description
from monai_cl_ext.data.folders import PATIENT_PATTERN, find_cases
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
    settings: Mapping[str, Any] | None = None,
    pretrain_settings: Mapping[str, Any] | None = None,
    train_settings: Mapping[str, Any] | None = None,
    scratch_learning_rates: Sequence[float] = (0.0003, 0.001, 0.003),
    pretrained_learning_rates: Sequence[float] = (),
    classes: Sequence[str] = (),
    use_spacing: bool = True,
    tolerance: float = 2.0,
    bundles: str | None = None,
    **patients: Any,
) -> Plan:
    """The plan of a study; ``patients`` are arguments of :func:`study_splits`, whose errors it raises too.

    Args:
        dataset_dir: Folder of volumes with labels of some, see data.find_cases.
        methods: "[scratch,gcl_segmentation+strategy_gr]", or with names: "{G^R: gcl_segmentation+strategy_gr}".
        labelled: Numbers of labelled patients: "[1,2,8]".
        draws: Random draws of the labelled patients; the same ones serve every method.
        seeds: Trainings of each draw.
        settings: Values by config id, for every stage that has them: "{image_size: [96,96], slice_axis: 1}".
        pretrain_settings: For pre-training alone: "{epochs: 15}"; for one stage of it "{pretrain_local: {epochs: 5}}",
            and for one method, by its name, "{'G^D weak': {strength: 0.25}}".
        train_settings: For fine-tuning alone, the same for every method: "{epochs: 10}".
        scratch_learning_rates: Of these scratch takes the best on validation patients; "[]" leaves the bundle's.
        pretrained_learning_rates: Of these every pre-trained start takes its best likewise; by default the bundle's.
        classes: Names of the labels 1, 2, ...; those of dataset.json by default.
        use_spacing: Distances in mm, by the header of the label; False takes voxels.
        tolerance: Of the surface Dice, in the same unit.
        bundles: Folder where bundles are searched first.

    Raises:
        ValueError: when an argument is wrong, or the methods cannot be compared.
        FileNotFoundError: when a bundle or an overlay is absent.
    """
    found = dict(enumerate(map(str, listed(classes)), start=1)) or classes_of(Path(dataset_dir))
    plan = Plan(
        methods=named_methods(methods),
        labelled=sorted({positive_integer("labelled", number) for number in listed(labelled)}),
        draws=positive_integer("draws", draws),
        seeds=positive_integer("seeds", seeds),
        splits=study_splits(dataset_dir, **patients),
        classes=found,
        settings={"num_classes": len(found) + 1, **(settings or {})},
        pretrain_settings={str(name): value for name, value in (pretrain_settings or {}).items()},
        train_settings=dict(train_settings or {}),
        scratch_learning_rates=_rates(scratch_learning_rates),
        pretrained_learning_rates=_rates(pretrained_learning_rates),
        use_spacing=_flag("use_spacing", use_spacing),
        tolerance=positive_number("tolerance", tolerance),
        transductive=patients.get("transductive", False),
        folders=[str(Path(bundles).resolve())] if bundles else [],
    )
    refuse_unfit_methods(plan)
    return plan


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
    """Who is pre-trained on, labelled, selected with and tested on.

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
    _flag("transductive", transductive)
    # The plan keeps whole paths; realpath, since Path.resolve raises a RuntimeError on a link to itself.
    labels = None if label_dir is None else os.path.realpath(str(label_dir))
    cases = find_cases(os.path.realpath(str(dataset_dir)), labels, patient_pattern)
    found = [read_split(splits, cases)] if splits else make_splits(cases, validation, test, folds, split_seed)
    found = [with_held_out_patients(split) for split in found] if transductive else found
    for split in found:
        refuse_leaks(split, transductive)
        refuse_unscored(split)
    return found


def _rates(values: Sequence[float]) -> list[float]:
    return [positive_number("learning rate", rate) for rate in listed(values)]


def _flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is True or False, found {value!r}")
    return value


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
    description = folder / "dataset.json"
    labels = read_description(description).get("labels", {}) if description.is_file() else {}
    if not labels:
        raise ValueError(f"{description} does not name the labels; give --classes, such as '[RV,myocardium,LV]'")
    named = {int(label): str(name) for label, name in labels.items() if int(label) > 0}
    if sorted(named) != list(range(1, len(named) + 1)):
        raise ValueError(f"{description}: labels must be 1, 2, ... without gaps, found {sorted(named)}; map them first")
    return {label: named[label] for label in sorted(named)}
