# SPDX-License-Identifier: Apache-2.0
"""The commands ``study plan``, ``study run`` and ``study report``."""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from monai_cl_ext.arguments import named_values, one_of, positive_integer
from monai_cl_ext.csv_files import read_table, write_table
from monai_cl_ext.files import write_text
from monai_cl_ext.screen import logged_to
from monai_cl_ext.study.card import bundles_of, code, config_hash, data_card, environment, plan_files
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import write_tables
from monai_cl_ext.study.launchers import local_launcher, slurm_launcher
from monai_cl_ext.study.layout import CARD, ENVIRONMENT, PLAN, PROBE_LOG
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.planning import make_plan, refuse_unfit_plan, study_settings, study_splits
from monai_cl_ext.study.probe import expected_seconds
from monai_cl_ext.study.problems import PROBLEMS
from monai_cl_ext.study.recipe import Recipe
from monai_cl_ext.study.same_weights import warn_of_same_weights
from monai_cl_ext.study.scheduler import alone, run_cells
from monai_cl_ext.study.task import Kind, Task, is_done

OF_PROBLEMS = [function for problem in PROBLEMS.values() for function in (problem.cases, problem.scoring)]


def with_arguments_of(*functions: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command that hands on ``**arguments`` the parameters of functions and their texts, for its help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters = [item for item in inspect.signature(command).parameters.values() if item.kind != item.VAR_KEYWORD]
        text = inspect.getdoc(command) or ""
        for function in functions:
            known = [item.name for item in parameters]
            for item in inspect.signature(function).parameters.values():
                if item.kind != item.VAR_KEYWORD and item.name not in (*known, "cases"):
                    parameters.append(item.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=None))
            text += "\n" + (inspect.getdoc(function) or "").partition("Args:\n")[2].partition("\n\n")[0]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__doc__ = f"{text}\n"
        return command

    return decorate


class StudyCommands:
    """Label-efficiency studies: methods against numbers of labeled patients, with intervals and paired tests."""

    @with_arguments_of(make_plan, study_settings, study_splits, *OF_PROBLEMS)
    def plan(self, output: str, probe: bool = True, **arguments: Any) -> None:
        """Prints the grid of a study, its data and the hours to expect; runs nothing but some steps that it times.

        Args:
            output: Folder of the study; its plan.json is written.
            probe: Time some steps of each kind of cell.
        """
        root = whole_path(output)
        plan = keep_plan(root, given(arguments))
        cells = tasks(plan, root)
        print(describe(plan, cells, root))
        if probe:
            waiting = [task for task in cells if not is_done(root / task.name)]
            with logged_to(root / PROBE_LOG):
                seconds = expected_seconds(waiting)
            print(describe_costs(waiting, seconds))
            print(f"\nwarnings of the steps that were timed: {root / PROBE_LOG}")

    @with_arguments_of(make_plan, study_settings, study_splits, *OF_PROBLEMS)
    def run(
        self,
        output: str,
        workers: int = 1,
        launcher: str = "local",
        slurm: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        """Runs a study, or what is missing of it, and writes OUTPUT/scores.csv, scores_last.csv and paper_compat.csv.

        A study that was stopped goes on by the same command, or by its output alone.

        Args:
            output: Folder of the study.
            workers: Cells at once; on GPUs each takes the next one.
            launcher: "local", or "slurm" through submitit.
            slurm: Parameters of submitit for each job: "{timeout_min: 240, gpus_per_node: 1}".
        """
        one_of("launcher", launcher, ("local", "slurm"))
        positive_integer("workers", workers)
        parameters = named_values("slurm", slurm)
        root = whole_path(output)
        plan = keep_plan(root, given(arguments))
        cells = tasks(plan, root)
        print(describe(plan, cells, root))
        launch = slurm_launcher(root, **parameters) if launcher == "slurm" else local_launcher(workers)
        with alone(root):
            try:
                run_cells(cells, root, launch, len(cells) if launcher == "slurm" else workers)
            finally:
                write_tables(cells, root)
        warn_of_same_weights(cells, root)

    def report(self, output: str) -> None:
        """Writes the tables and figures of a study: report.html, table.md, table.tex, figures.

        Args:
            output: Folder of the study.
        """
        from monai_cl_ext.study.report.page import write_study_report

        print(f"report written to {write_study_report(Path(str(output)))}")


def keep_plan(root: Path, arguments: Mapping[str, Any]) -> Plan:
    """The plan that the arguments make, or, without any, the one that the folder keeps.

    Raises:
        ValueError: when the folder keeps another plan, or none and there are no arguments, or a bundle has changed
            since the plan was made.
    """
    path = root / PLAN
    kept = Plan.read(path) if path.is_file() else None
    if not arguments and kept is None:
        raise ValueError(f"{path} does not exist; give --dataset_dir, --methods and --labelled to make a plan")
    missing = [name for name in ("dataset_dir", "methods", "labelled") if name not in arguments]
    if arguments and missing:
        raise ValueError(f"a plan needs --{missing[0]}; without any argument but --output a study goes on")
    if arguments:
        plan = make_plan(**arguments)
        if kept is not None and kept.to_json() != plan.to_json():
            raise ValueError(f"{path} is another plan; give another --output, or remove {root} to begin anew")
    else:
        assert kept is not None
        plan = kept
        refuse_unfit_plan(plan, str(path))
    if kept is not None:
        _refuse_changes(root / ENVIRONMENT, plan)
        return plan
    tasks(plan, root)  # like the next line it may refuse the data, before a plan stands in the way of a better one
    card, place = data_card(plan), environment(plan)
    root.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        raise ValueError(f"another command has made a plan in {root} meanwhile; give another --output")
    write_table(root / CARD, card)
    write_text(root / ENVIRONMENT, json.dumps(place, indent=1))
    write_text(path, plan.to_json())
    return plan


def _refuse_changes(record: Path, plan: Plan) -> None:
    """Cells of two versions of a bundle, or of a file, must not stand in one table."""
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        hashes, files, before = dict(kept["bundles"]), kept.get("files"), dict(kept.get("versions", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{record} does not tell the bundles of this study ({error!r}); restore it, or give another --output"
        ) from error
    for bundle in bundles_of(plan):
        if config_hash(bundle) != hashes.get(bundle.folder.name):
            raise ValueError(
                f"the configs or scripts of {bundle.folder} are not those that {record} tells of: "
                "they have changed since the study began; restore them, or give another --output"
            )
    _warn_of_other_code(record, before, kept.get("commit"))
    found = plan_files(plan)
    if changed := sorted(file for file in found if files is not None and found[file] != files.get(file)):
        raise ValueError(
            f"{len(changed)} file(s) have changed since {record} was written, such as {changed[0]}: trainings and "
            "scores of before would stand beside those of now; restore them, or give another --output"
        )


def _warn_of_other_code(record: Path, versions: Mapping[str, str], commit: str | None) -> None:
    """Cells of two versions of a package may well be alike, which nobody but the user can know."""
    now = code()
    told = {**versions, "commit": commit}
    found = {**{name: now["versions"].get(name) for name in versions}, "commit": now["commit"]}
    differing = [f"{name} {told[name]} (now {found[name]})" for name in told if told[name] != found[name]]
    if differing:
        warnings.warn(
            f"{record}: the study was begun with {', '.join(differing)}, and cells of both will stand in one table; go "
            "on with what it was begun with, or give another --output, unless you know that both train alike",
            stacklevel=3,
        )


def whole_path(folder: str) -> Path:
    """The absolute path without links; Path.resolve would raise a RuntimeError on a link to itself."""
    return Path(os.path.realpath(str(folder)))


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were given."""
    return {name: value for name, value in arguments.items() if value is not None}


def describe(plan: Plan, cells: list[Task], root: Path) -> str:
    """The grid, what is shared and the data card, as text."""
    of_kind = {kind: [task for task in cells if task.kind == kind] for kind in Kind}
    finetuning, choices = of_kind[Kind.FINETUNE], of_kind[Kind.CHOICE]
    lines = [
        f"{len(plan.methods)} methods x {len(plan.labelled)} numbers of labeled patients {plan.labelled} x "
        f"{plan.draws} draws x {plan.seeds} seeds x {len(plan.splits)} test sets: {len(finetuning)} fine-tunings",
        *(f"  {name}: {recipe.name}, {_stages(recipe)}" for name, recipe in plan.recipes.items()),
    ]
    lines += [
        f"  {task.name} serves {sum(_depends(cells, cell, task.name) for cell in finetuning)} fine-tunings"
        for task in of_kind[Kind.PRETRAIN]
    ]
    if choices:
        lines.append(f"  {len(choices)} fine-tunings choose learning rates, on validation patients")
    without = {task.facts["method"] for task in finetuning if not task.scores_last}
    if without:
        told = ", ".join(name for name in plan.methods if name in without)
        lines.append(f"  no last checkpoint is scored of {told}: train.json writes none that inference.json can load")
    if plan.transductive:
        lines.append("  TRANSDUCTIVE: pre-training sees the images of validation and test patients")
    card = read_table(root / CARD, dtype=str)
    return "\n".join([*lines, "", card.to_string(index=False)])


def describe_costs(cells: Sequence[Task], seconds: Mapping[str, float]) -> str:
    """The hours to expect of cells that wait, together and of each pre-training and each method, as text."""
    hours = [seconds[task.name] / 3600 for task in cells]
    total = f"\nabout {sum(hours):.1f} hours on this machine for {len(cells)} cells, one after another"
    if not cells:
        return total
    table = pd.DataFrame({"of": [task.facts.get("method", task.name) for task in cells], "hours": hours})
    each = table.groupby("of", sort=False)["hours"].agg(
        cells="size", minutes_each=lambda one: 60 * one.mean(), hours="sum"
    )
    return f"{total}\n\n{each.rename_axis(None).to_string(float_format='{:.1f}'.format)}"


def _stages(recipe: Recipe) -> str:
    return " then ".join(recipe.pretrain_stages) or "no pre-training"


def _depends(cells: list[Task], cell: Task, name: str) -> bool:
    needs = {task.name: task.needs for task in cells}
    found = set(cell.needs)
    while more := {need for known in found for need in needs[known]} - found:
        found |= more
    return name in found
