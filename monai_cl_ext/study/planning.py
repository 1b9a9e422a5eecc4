# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of a study from what a user asks for, and refuses one that could not be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.data.folders import find_cases
from monai_cl_ext.study.leaks import refuse_leaks
from monai_cl_ext.study.plan import Plan, known
from monai_cl_ext.study.splits import make_splits, read_split, with_held_out_patients


def make_plan(
    dataset_dir: str,
    methods: str | Sequence[str] | Mapping[str, str],
    labelled: Sequence[int],
    draws: int = 3,
    seeds: int = 1,
    folds: int = 0,
    validation: int | float = 0.1,
    test: int | float = 0.25,
    split_seed: int = 0,
    splits: str | None = None,
    settings: Mapping[str, Any] | None = None,
    pretrain_settings: Mapping[str, Any] | None = None,
    train_settings: Mapping[str, Any] | None = None,
    scratch_learning_rates: Sequence[float] = (),
    classes: Sequence[str] = (),
    use_spacing: bool = True,
    tolerance: float = 2.0,
    transductive: bool = False,
    bundles: str | None = None,
) -> Plan:
    """The plan of a study.

    Args:
        dataset_dir: Folder of volumes with labels of some, see data.find_cases.
        methods: "[scratch,gcl_segmentation+strategy_gr]", or with names: "{G^R: gcl_segmentation+strategy_gr}".
        labelled: Numbers of labelled patients: "[1,2,8]".
        draws: Random draws of the labelled patients; the same ones serve every method.
        seeds: Trainings of each draw.
        folds: So many folds give out-of-fold scores of all patients; 0 takes one test set.
        validation: Patients to select with, a number or a fraction.
        test: Patients to test on, a number or a fraction.
        split_seed: Of these draws.
        splits: JSON file of patients instead: {"train": [...], "validation": [...], "test": [...]}.
        settings: Values by config id, for every stage that has them: "{image_size: [96,96], slice_axis: 1}".
        pretrain_settings: For pre-training alone: "{epochs: 15}".
        train_settings: For fine-tuning alone, the same for every method: "{epochs: 10}".
        scratch_learning_rates: From which training from scratch chooses on validation patients: "[0.0003,0.001]".
        classes: Names of the labels 1, 2, ...; those of dataset.json by default.
        use_spacing: Distances in mm, by the header of the label; False takes voxels.
        tolerance: Of the surface Dice, in the same unit.
        transductive: Pre-training also sees the images of validation and test patients; every result is marked.
        bundles: Folder where bundles are searched first.

    Raises:
        ValueError: when an argument is wrong; LeakError when patients are not kept apart.
        FileNotFoundError: when a folder, a bundle or an overlay is absent.
    """
    cases = find_cases(dataset_dir)
    found = [read_split(splits, cases)] if splits else make_splits(cases, validation, test, folds, split_seed)
    plan = Plan(
        methods={name: str(value) for name, value in _named(methods).items()},
        labelled=sorted({int(number) for number in labelled}),
        draws=int(draws),
        seeds=int(seeds),
        splits=[with_held_out_patients(split) for split in found] if transductive else found,
        classes=dict(enumerate(classes, start=1)) or classes_of(Path(dataset_dir)),
        settings=dict(settings or {}),
        pretrain_settings=dict(pretrain_settings or {}),
        train_settings=dict(train_settings or {}),
        scratch_learning_rates=[float(rate) for rate in scratch_learning_rates],
        use_spacing=bool(use_spacing),
        tolerance=float(tolerance),
        transductive=bool(transductive),
        folders=[str(Path(bundles).resolve())] if bundles else [],
    )
    for split in plan.splits:
        refuse_leaks(split, plan.transductive)
    _refuse_unknown_settings(plan)
    return plan


def classes_of(folder: Path) -> dict[int, str]:
    """Names of the foreground labels by the dataset.json of a folder.

    Raises:
        ValueError: when there is none, or it names no labels.
    """
    description = folder / "dataset.json"
    labels = json.loads(description.read_text(encoding="utf-8")).get("labels", {}) if description.is_file() else {}
    if not labels:
        raise ValueError(f"{description} does not name the labels; give --classes, such as '[RV,myocardium,LV]'")
    named = {int(label): str(name) for label, name in labels.items()}
    return {label: named[label] for label in sorted(named) if label > 0}


def _named(methods: str | Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Methods by name; as text too, since Fire hands on ``[scratch,a+b]`` and ``{name: a+b}`` as they are."""
    if isinstance(methods, str):
        items = [item.strip().strip("'\"") for item in methods.strip("[]{} ").split(",")]
        methods = dict(item.split(": ", 1) for item in items) if methods.startswith("{") else items
    named = methods if isinstance(methods, Mapping) else {name.rstrip("/").split("/")[-1]: name for name in methods}
    if not named or not all(name and "/" not in name for name in named):
        raise ValueError(f"methods must name at least one method, without a slash in its name, found {methods!r}")
    return named


def _refuse_unknown_settings(plan: Plan) -> None:
    """A misspelt setting would otherwise change nothing, silently."""
    for method in plan.methods:
        bundle, pretraining = plan.bundle(method), plan.pretrain_stages(method)
        for group, stages in (
            ("settings", [*pretraining, "train", "inference"]),
            ("pretrain_settings", pretraining),
            ("train_settings", ["train"]),
        ):
            settings = getattr(plan, group)
            found = {name for stage in stages for name in known(bundle, [stage], settings)}
            unknown = [name for name in settings if name not in found]
            if stages and unknown:
                raise ValueError(
                    f"{group}: no config of {bundle.name} ({', '.join(stages)}) has {unknown[0]!r}; "
                    "settings are ids of a config, such as learning_rate"
                )
