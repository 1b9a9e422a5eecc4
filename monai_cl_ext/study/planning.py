# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of a study from what a user asks for, and refuses one that could not be trusted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.arguments import as_list, named_values, positive_integer, positive_number
from monai_cl_ext.data.file_names import files_of, image_file
from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.leaks import refuse_leaks
from monai_cl_ext.study.method_checks import named_methods, refuse_unfit_methods
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.problems import PROBLEMS, problem_of
from monai_cl_ext.study.recipe import make_recipes
from monai_cl_ext.study.splits import Split, make_splits, read_split, with_held_out_patients
from monai_cl_ext.study.superpixel_leaks import refuse_leaking_superpixels


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

    ``others`` are arguments of :func:`study_splits`, :func:`study_settings` and of ``cases`` and ``scoring`` of what
    the bundles predict, see :class:`problems.Problem`, whose errors it raises too.

    Args:
        dataset_dir: Folder of volumes with labels of some, see data.find_cases; for bundles of classification of
            photographs, see data.find_pictures.
        methods: "[scratch,gcl_segmentation]", or with names: "{G^R: gcl_segmentation+no_local+strategy_gr}";
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

    named, folders = named_methods(methods), [str(Path(bundles).resolve())] if bundles else []
    recipes = make_recipes(named, folders)
    problem = PROBLEMS[problem_of(recipes.values())]
    arguments = [chosen(function) for function in (problem.cases, problem.scoring, study_settings, study_splits)]
    if others:
        raise ValueError(f"a study of {problem.name} has no argument {next(iter(others))!r}; leave it out")
    of_cases, of_scoring, of_settings, of_splits = arguments
    cases = problem.cases(dataset_dir, **of_cases)
    scoring = problem.scoring(dataset_dir, cases, **of_scoring)
    settings = study_settings(**of_settings)
    settings["settings"] = {"num_classes": problem.num_classes(scoring["classes"]), **settings["settings"]}
    plan = Plan(
        methods=named,
        labelled=sorted({positive_integer("labelled", number) for number in as_list(labelled)}),
        draws=draws,
        seeds=seeds,
        splits=study_splits(cases, **of_splits),
        transductive=of_splits.get("transductive", False),
        folders=folders,
        problem=problem.name,
        **settings,
        **scoring,
    )
    vars(plan)["recipes"] = recipes  # each config is read once
    _refuse_unfit_splits(plan)
    refuse_unfit_methods(plan)
    refuse_leaking_superpixels(plan)
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
    return {
        **{name: named_values(name, group) for name, group in groups.items()},
        "scratch_learning_rates": [positive_number("learning rate", rate) for rate in as_list(scratch_learning_rates)],
        "pretrained_learning_rates": [
            positive_number("learning rate", rate) for rate in as_list(pretrained_learning_rates)
        ],
    }


def refuse_unfit_plan(plan: Plan, source: str) -> None:
    """Refuses a plan that was read from a file on the grounds on which a plan is refused when it is made.

    Raises:
        ValueError: names the file; LeakError when patients are not kept apart.
        FileNotFoundError: when a bundle, an overlay or a volume is absent.
    """
    problem = PROBLEMS[plan.problem]
    for split in plan.splits:
        named = [file for part in split.values() for case in part for file in files_of(case["image"])]
        absent = [file for file in named if not Path(file).exists()]
        if absent:
            raise FileNotFoundError(f"{source} names {absent[0]}, which does not exist; bring the {problem.item}s back")
    _refuse_unfit_splits(plan)
    refuse_unfit_methods(plan)
    refuse_leaking_superpixels(plan)


def _refuse_unfit_splits(plan: Plan) -> None:
    problem = PROBLEMS[plan.problem]
    for split in plan.splits:
        refuse_leaks(split, plan.transductive, problem.image_hash, problem.item)
        refuse_unlabelled(split, problem.item)
        problem.refuse_unscored(split, plan.classes)


def study_splits(
    cases: Sequence[Case],
    folds: int = 0,
    validation: int | float = 0.1,
    test: int | float = 0.25,
    split_seed: int = 0,
    splits: str | None = None,
    transductive: bool = False,
) -> list[Split]:
    """Who is pre-trained on, labeled, selected with and tested on.

    Args:
        cases: Of the data set, with "patient" and, of some, "label".
        folds: So many folds give out-of-fold scores of all patients; 0 takes one test set.
        validation: Patients to select with, a number or a fraction.
        test: Patients to test on, a number or a fraction.
        split_seed: Of these draws.
        splits: JSON file of patients instead: {"train": [...], "validation": [...], "test": [...]}.
        transductive: Pre-training also sees the images of validation and test patients; every result is marked.

    Raises:
        ValueError: when an argument is wrong.
    """
    if splits and folds:
        raise ValueError("splits and folds both say who is tested; give one of them")
    if not isinstance(transductive, bool):
        raise ValueError(f"transductive must be True or False, found {transductive!r}")
    found = [read_split(splits, cases)] if splits else make_splits(cases, validation, test, folds, split_seed)
    return [with_held_out_patients(split) for split in found] if transductive else found


def refuse_unlabelled(split: Split, item: str) -> None:
    """Validation and test patients need labels.

    Raises:
        ValueError: when a part is empty or an image, called ``item``, has no label.
    """
    for part in ("validation", "test"):
        if not split[part]:
            raise ValueError(f"there is no {part} patient; ask for at least one")
        for case in split[part]:
            if not case.get("label"):
                raise ValueError(f"{image_file(case)} of the {part} patients has no label; give one, or take it out")
