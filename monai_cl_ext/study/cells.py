# SPDX-License-Identifier: Apache-2.0
"""The grid of cells that follows from a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cl_ext.data.splits import Case, draw_patients, without_labels
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.last_checkpoint import last_inference
from monai_cl_ext.study.layout import INFERENCE_LAST, folder_name
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.problems import PROBLEMS
from monai_cl_ext.study.splits import Split
from monai_cl_ext.study.task import Kind, Run, Task


def tasks(plan: Plan, root: Path) -> list[Task]:
    """The cells of a study in an order in which they can run; a cell that several methods share comes once.

    Raises:
        ValueError: when a setting is unknown to every stage that it is for, or patients are too few.
    """
    cells: dict[str, Task] = {}
    for fold in range(len(plan.splits)):
        for method in plan.methods:
            pretraining = _pretraining(plan, method, fold, root)
            cells |= {task.name: task for task in pretraining}
            cells |= {task.name: task for task in _finetuning(plan, method, fold, pretraining, root)}
    return sorted(cells.values(), key=lambda task: task.kind != Kind.PRETRAIN)


def pretrain_settings(plan: Plan, method: str, stage: str) -> dict[str, Any]:
    """Values by config id of a stage of a method's pre-training, the more special ones over the others."""
    bundle = plan.recipes[method].pretraining
    assert bundle is not None
    settings = {"seed": 0, **plan.settings, **plan.pretrain_settings}
    settings |= {**plan.stage_settings.get(stage, {}), **plan.method_settings.get(method, {})}
    return bundle.known([stage], settings)


def _pretraining(plan: Plan, method: str, fold: int, root: Path) -> list[Task]:
    """One cell a stage, named after all that makes it, so that methods with the same beginning share it."""
    bundle, split = plan.recipes[method].pretraining, plan.splits[fold]
    chain: list[Task] = []
    made_by: list[str] = []
    if bundle is None:
        return chain
    for stage in bundle.pretrain_stages:
        concerned = bundle.configs(stage)[1:]
        own = bundle.known([stage], plan.method_settings.get(method, {}))
        told = [*concerned, *(f"{name}={value}" for name, value in own.items())]
        made_by += [name for name in told if name not in made_by]
        cases = (without_labels(split["pretrain"]), without_labels(split["validation"]))
        data = _data(plan, bundle, stage, split, *cases)
        if chain:
            data["pretrained"] = weights(chain[-1], root)
        name = folder_name("+".join([bundle.folder.name, *made_by]))
        needs = [chain[-1].name] if chain else []
        run = Run([stage], pretrain_settings(plan, method, stage), data)
        place = f"{Kind.PRETRAIN}/{name}/{stage}_fold_{fold}"
        cell = Task(place, str(bundle.folder), concerned, [run], needs, kind=Kind.PRETRAIN, problem=plan.problem)
        chain.append(cell)
    return chain


def _finetuning(plan: Plan, method: str, fold: int, pretraining: Sequence[Task], root: Path) -> list[Task]:
    cells = []
    start = {"pretrained": weights(pretraining[-1], root)} if pretraining else {}
    needed = [task.name for task in pretraining[-1:]]
    for labelled in plan.labelled:
        choices = _choices(plan, method, fold, labelled, start, needed)
        cells += choices
        for draw in range(plan.draws_of(fold, labelled)):
            for seed in range(plan.seeds):
                name = f"{Kind.FINETUNE}/{folder_name(method)}/labelled_{labelled}_draw_{draw}_seed_{seed}_fold_{fold}"
                facts = {"method": method, "labelled": labelled, "fold": fold, "draw": draw, "seed": seed}
                facts |= {"transductive": True} if plan.transductive else {}
                task = _finetune(plan, name, facts, start, "test")
                needs = [*needed, *(choice.name for choice in choices)]
                rates = {str(choice.facts["learning_rate"]): choice.name for choice in choices}
                chosen = {"learning_rate": rates} if rates else {}
                cells.append(replace(task, needs=needs, chosen=chosen))
    return cells


def _choices(
    plan: Plan, method: str, fold: int, labelled: int, start: Mapping[str, Any], needs: Sequence[str]
) -> list[Task]:
    """Cells of the first draw that are scored on validation patients, one for each learning rate."""
    cells = []
    for rate in plan.learning_rates(method):
        name = f"{Kind.CHOICE}/{folder_name(method)}/labelled_{labelled}_learning_rate_{rate}_fold_{fold}"
        facts = {"method": method, "labelled": labelled, "fold": fold, "draw": 0, "seed": 0, "learning_rate": rate}
        cell = _finetune(plan, name, facts, start, "validation", {"learning_rate": rate})
        cells.append(replace(cell, needs=list(needs), kind=Kind.CHOICE))
    return cells


def _finetune(
    plan: Plan,
    name: str,
    facts: Mapping[str, Any],
    start: Mapping[str, Any],
    part: str,
    tried: Mapping[str, Any] | None = None,
) -> Task:
    """The training and the inference of a cell; of the last checkpoint too where test patients are scored.

    Args:
        plan, name, facts: of the study and of the cell.
        start: the pre-trained weights, if there are some.
        part: of the split, that is scored.
        tried: settings of this training alone.
    """
    bundle, split = plan.recipes[facts["method"]].training, plan.splits[facts["fold"]]
    labelled = draw_patients(split["train"], facts["labelled"], facts["draw"])
    problem = PROBLEMS[plan.problem]
    trainings = []
    for stage in bundle.train_stages:
        own = {**plan.train_settings, **(tried or {})}
        settings = bundle.known([stage], {"seed": facts["seed"], **plan.settings})
        settings |= own if stage == "train" else bundle.known([stage], own)
        data = {**start, **_data(plan, bundle, stage, split, labelled, split["validation"])}
        trainings.append(Run([stage], settings, data | bundle.known([stage], problem.told(plan.classes))))
    inference = bundle.known(["inference"], {**plan.settings, **plan.train_settings})
    predicted = {"dataset#data": [{"image": case["image"]} for case in split[part]]}
    fields = [name for name in ("classes", "use_spacing", "tolerance") if name not in problem.without]
    scoring = {name: getattr(plan, name) for name in fields}
    runs = [*trainings, Run(["inference"], inference, predicted)]
    if part == "test" and (last := last_inference(bundle)):
        runs.append(Run(["inference"], {**inference, **last}, predicted, INFERENCE_LAST))
    overlays = list(bundle.overlays)
    axis = int(plan.settings.get("slice_axis", 2))
    return Task(
        name, str(bundle.folder), overlays, runs, [], dict(facts), split[part], scoring, axis, problem=problem.name
    )


def _data(
    plan: Plan, bundle: Bundle, stage: str, split: Split, training: Sequence[Case], validation: Sequence[Case]
) -> dict[str, Any]:
    """The data of a stage: the split and the drawn patients where a config has these keys, as those of this package.

    The test patients are handed to no stage but inference.

    Other bundles get the lists under the ids that MONAI's bundle properties give them.
    """
    split = {part: PROBLEMS[plan.problem].handed(cases, plan.classes) for part, cases in split.items()}
    training, validation = (PROBLEMS[plan.problem].handed(cases, plan.classes) for cases in (training, validation))
    ours = {"split": {**split, "test": []}} | ({"labelled": training} if stage in bundle.train_stages else {})
    if len(bundle.known([stage], ours)) == len(ours):
        return ours
    return {"train#dataset#data": training, "validate#dataset#data": validation}


def weights(task: Task, root: Path) -> str:
    """Where a stage of pre-training writes the network: configs/pretrain*.json writes models/model_pretrain*.pt."""
    return str(root / task.name / "models" / f"model_{task.runs[0].stage}.pt")
