# SPDX-License-Identifier: Apache-2.0
"""One cell of a study: stages of a bundle in a folder of its own, and the scores of what it then predicts.

``python -m monai_cl_ext.study.task FOLDER`` runs the cell that FOLDER/task.json describes; with ``--attended`` it ends
when its standard input does.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from monai_cl_ext.csv_files import write_table
from monai_cl_ext.data.splits import Case
from monai_cl_ext.errors import root_cause
from monai_cl_ext.files import sha256_of, write_text
from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.layout import DONE, EVAL_LAST, INFERENCE_LAST, SCORES, SCORES_LAST, TASK
from monai_cl_ext.study.problems import PROBLEMS, Segmentation

if TYPE_CHECKING:
    from monai_cl_ext.study.stage import TrainingHandler

ATTENDED = "--attended"


class Kind(StrEnum):
    """What a cell is for."""

    PRETRAIN = "pretrain"
    """A stage of pre-training, which others start from."""
    CHOICE = "choice"
    """A training that is scored on validation patients, to choose a setting."""
    FINETUNE = "finetune"
    """A training that is scored on test patients."""


@dataclass(frozen=True)
class Run:
    """One run of a bundle.

    Attributes:
        stages: names of config files, see ``stage.run_stage``; the last one names the stage.
        settings: values by config id, as a configuration holds them: text may be an expression.
        data: by config id what is no configuration: lists of cases, splits, paths.
        name: of its files in the cell's folder; that of the stage, but for a second run of it.
    """

    stages: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        """Names the run after its stage where it has no name of its own."""
        object.__setattr__(self, "name", self.name or self.stage)

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.stages[-1]


@dataclass(frozen=True)
class Task:
    """What a cell runs.

    Attributes:
        name: its folder below the study's: "finetune/scratch/labelled_2_draw_0_seed_0_fold_0".
        bundle, overlays: what it runs, see :class:`Bundle`.
        runs: one after another, such as a training and an inference.
        needs: names of cells that have to be done before.
        facts: columns of its scores: method, labelled, fold, draw, seed.
        scored: cases whose predictions are scored against their labels.
        scoring: the classes, and of segmentations ``use_spacing`` and ``tolerance`` of :func:`score_predictions`.
        slice_axis: of the volumes, for the slice-wise scores of :func:`paper_compat_scores`.
        chosen: a setting of the stages of training and the cells, by its value, that compete for it: the best mean of
            the problem's primary metric wins.
        kind: what it is for.
        problem: what is predicted, one of ``problems.PROBLEMS``.
    """

    name: str
    bundle: str
    overlays: list[str]
    runs: list[Run]
    needs: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    scored: list[Case] = field(default_factory=list)
    scoring: dict[str, Any] = field(default_factory=dict)
    slice_axis: int = 2
    chosen: dict[str, dict[str, str]] = field(default_factory=dict)
    kind: Kind = Kind.FINETUNE
    problem: str = Segmentation.name

    @property
    def scores_last(self) -> bool:
        """Whether its last checkpoint is scored as well."""
        return any(run.name == INFERENCE_LAST for run in self.runs)

    @property
    def tables(self) -> list[str]:
        """Files of its scores; none where nothing is scored."""
        if not self.scored:
            return []
        return [*PROBLEMS[self.problem].tables, *([SCORES_LAST] if self.scores_last else [])]

    def to_json(self) -> str:
        """The cell as text; equal cells give equal texts."""
        content = asdict(self)
        if self.problem == Segmentation.name:
            del content["problem"]  # a study that was begun before there were others goes on
        for run in content["runs"]:
            if run["name"] == run["stages"][-1]:
                del run["name"]  # as before runs had names
        return json.dumps(content, indent=1)

    @classmethod
    def read(cls, path: Path) -> Task:
        """The cell of such a text.

        Raises:
            ValueError: when the file is something else.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            runs = [Run(**run) for run in content["runs"]]
            return cls(**{**content, "runs": runs, "kind": Kind(content["kind"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is not the description of a cell ({error!r}); remove its folder and run again"
            ) from error


def is_done(folder: Path) -> bool:
    """Whether a cell is done and what others read of it, its tables and its weights, is as it was written.

    Raises:
        ValueError: when it says that it is done and one of these files is absent or changed.
    """
    mark = folder / DONE
    if not mark.is_file():
        return False
    try:
        digests: dict[str, str] = json.loads(mark.read_text(encoding="utf-8"))
        problems = [f"its {name} is {found}" for name, found in _changes(folder, digests)]
    except (ValueError, AttributeError, TypeError):
        problems = [f"its {DONE} is damaged"]
    if problems:
        raise ValueError(f"{folder} says that it is done, but {problems[0]}; remove the folder and run again")
    return True


def _changes(folder: Path, digests: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and fate of each file that is not as it was written."""
    found = [(name, sha256_of(folder / name) if (folder / name).is_file() else "") for name in digests]
    return [(name, "damaged" if now else "absent") for name, now in found if now != digests[name]]


def write_task(task: Task, root: Path) -> Path:
    """Writes the description of a cell into its folder, which it returns.

    Raises:
        ValueError: when the folder describes another cell.
    """
    folder = root / task.name
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / TASK, task.to_json()
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{path} describes another cell than this study's; if the study or a bundle was moved, "
            f"move it back; else give another output, or remove {folder}"
        )
    write_text(path, text)
    return folder


def run_task(folder: str | Path, *, handler: TrainingHandler | None = None) -> None:
    """Runs what is missing of a cell; a second process waits until the first has ended.

    Args:
        folder: of the cell.
        handler: is attached to each training, which logs nothing then, see :func:`stage.run_stage`.
    """
    from monai_cl_ext.study.reused_training import reuse_training
    from monai_cl_ext.study.stage import run_stage

    folder = Path(folder).resolve()
    with FileLock(folder / ".lock"):
        if is_done(folder):
            return
        task = Task.read(folder / TASK)
        root = folder.parents[len(Path(task.name).parts) - 1]
        bundle = Bundle(Path(task.bundle), tuple(task.overlays)).copy(folder)
        problem = PROBLEMS[task.problem]
        chosen = {setting: choose(root, cells, problem.primary) for setting, cells in task.chosen.items()}
        choices = {setting: float(value) for setting, value in chosen.items()}
        runs = list(task.runs)
        count = len(bundle.train_stages)
        for setting, value in chosen.items():
            runs[:count] = [replace(run, settings={**run.settings, **choices}) for run in runs[:count]]
            source = root / task.chosen[setting][value]
            if Task.read(source / TASK).runs[:count] == runs[:count]:
                for run in runs[:count]:
                    reuse_training(run.name, source, folder)
        for run in runs:
            run_stage(
                bundle, run.stages, run.settings, run.data, name=run.name, handler=handler, logged=handler is None
            )
        if task.scored:
            tables = problem.score(task.scored, folder, task.scoring, task.slice_axis)
            if task.scores_last:
                tables[SCORES_LAST] = problem.scores(task.scored, folder / EVAL_LAST, task.scoring)
            for name, table in tables.items():
                marked = table.assign(**{**task.facts, **choices})
                write_table(folder / name, marked[[*task.facts, *choices, *table.columns]])
        kept = [folder / name for name in task.tables] if task.scored else sorted(folder.glob("models/model*.pt"))
        digests = {path.relative_to(folder).as_posix(): sha256_of(path) for path in kept}
        write_text(folder / DONE, json.dumps(digests, indent=1))
        for states in (folder / "models").glob("resume_*"):
            shutil.rmtree(states)  # large, and of no use once the cell is done


def choose(root: Path, cells: Mapping[str, str], metric: str) -> str:
    """The value, as a key of ``cells``, whose cell has the highest mean of a metric over patients; the first of equals.

    Raises:
        ValueError: when no cell has a score.

    Args:
        root: folder of the study.
        cells: names of cells by value.
        metric: its name; higher is better.
    """
    from monai_cl_ext.study.comparison import patient_table, rows_of
    from monai_cl_ext.study.scores import read_scores

    means = {}
    for value, name in cells.items():
        scores = read_scores(root / name / SCORES)
        mean = patient_table(rows_of(scores, metric))["value"].mean()
        means[value] = -math.inf if math.isnan(mean) else mean
    if max(means.values()) == -math.inf:
        raise ValueError(
            f"no validation patient has a {metric} under any of {', '.join(means)}, so none can be chosen: give other "
            "validation patients, whose labels hold a class, or no rates to choose among"
        )
    return max(means, key=means.__getitem__)


def end_with_parent(pipe: int) -> None:
    """Ends this process and those that it started as soon as the other end of a pipe is closed.

    The process that holds that end need not do anything for it: the system closes it when the process is killed.

    Args:
        pipe: file descriptor of the end that nothing is ever written to.
    """

    def wait() -> None:
        os.read(pipe, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    if ATTENDED in sys.argv:
        end_with_parent(sys.stdin.fileno())
    try:
        run_task(sys.argv[1])
    except Exception as failure:
        traceback.print_exc()
        sys.exit(root_cause(failure))
