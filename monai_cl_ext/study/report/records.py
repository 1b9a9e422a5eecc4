# SPDX-License-Identifier: Apache-2.0
"""What a study left in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from monai_cl_ext import csv_files
from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.comparison import BEST, KEYS, Comparison
from monai_cl_ext.study.layout import CARD, ENVIRONMENT, PAPER_COMPAT, PLAN, SCORES, SCORES_LAST
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.problems import PROBLEMS, Problem
from monai_cl_ext.study.recipe import from_scratch
from monai_cl_ext.study.scores import read_scores
from monai_cl_ext.study.task import Kind, Task

MARK = "TRANSDUCTIVE"
COLUMNS = [*KEYS, "value", "missed"]
CHECKPOINTS = ("best checkpoint", "last checkpoint")


@dataclass(frozen=True)
class Study:
    """What a study planned and what it found.

    Attributes:
        folder: of the study.
        plan: of the study.
        scores: of every volume by the best checkpoint, see ``comparison.rows_of``; methods by their shown names, in the
            order of the plan.
        shown: name of each method on the page and in the tables; a transductive study marks it.
        reference: shown name of the plan's first training from scratch; "best" where no method is that.
        cells: description of every cell by its name.
        environment: where the study was planned; empty when not known.
        card: its data; None when not known.
        pooled: scores by the formulas of a paper, over all test volumes at once; None where there are none.
    """

    folder: Path
    plan: Plan
    scores: pd.DataFrame
    shown: dict[str, str]
    reference: str
    cells: dict[str, Task]
    environment: dict[str, Any]
    card: pd.DataFrame | None
    pooled: pd.DataFrame | None

    @property
    def title(self) -> str:
        """Name of the folder, marked where the study is transductive."""
        name = self.folder.resolve().name
        return f"{name} · {MARK}" if self.plan.transductive else name

    @property
    def methods(self) -> list[str]:
        """Shown names of the methods with scores, in the order that gives each its color in every figure."""
        return list(dict.fromkeys(self.scores["method"]))

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """The methods in each metric of the scores: whatever the report shows is read here, and computed once."""
        found = set(self.scores["metric"])
        return {name: Comparison(self.scores, name, self.reference) for name in METRICS if name in found}

    @property
    def problem(self) -> Problem:
        """What is predicted."""
        return PROBLEMS[self.plan.problem]

    @property
    def primary(self) -> Comparison:
        """The metric that the report begins with.

        Raises:
            ValueError: when the scores do not have it.
        """
        name = self.problem.primary
        if name not in self.comparisons:
            raise ValueError(
                f"{self.folder / SCORES} has no rows of the metric {name}, found {sorted(set(self.scores['metric']))}; "
                f"expected the scores of a study of {self.problem.name}"
            )
        return self.comparisons[name]

    @cached_property
    def last_scores(self) -> pd.DataFrame | None:
        """As ``scores``, by the last checkpoint; None where no method has such scores.

        Raises:
            ValueError: when the table is not what it should be.
        """
        path = self.folder / SCORES_LAST
        return _scores(path, COLUMNS, self.shown) if path.is_file() else None

    @cached_property
    def last(self) -> Comparison | None:
        """The methods in the primary metric by their last checkpoint."""
        if self.last_scores is None:
            return None
        reference = self.reference if self.reference in set(self.last_scores["method"]) else BEST
        return Comparison(self.last_scores, self.problem.primary, reference)

    @cached_property
    def last_gains(self) -> pd.DataFrame:
        """Differences last - best checkpoint of each method in the primary metric, see ``Comparison.differences``.

        Of the rows that both tables have. Holm's correction is over the numbers of labeled patients of one method.
        """
        found = [pd.DataFrame(columns=["method"])]
        for method in self.last.methods if self.last else []:
            assert self.last is not None
            best, last = (rows[rows["method"] == method] for rows in (self.primary.rows, self.last.rows))
            both = best[KEYS].merge(last[KEYS])
            if len(both):
                parts = zip(CHECKPOINTS, (best, last), strict=True)
                named = pd.concat([both.merge(rows).assign(method=name) for name, rows in parts])
                pair = Comparison(named, self.problem.primary, CHECKPOINTS[0])
                found.append(pair.differences.assign(method=method))
        return pd.concat(found[1:] or found, ignore_index=True)

    @property
    def unit(self) -> str:
        """Of distances."""
        return "mm" if self.plan.use_spacing else "voxels"

    @property
    def finetuned(self) -> list[Task]:
        """The cells whose scores count."""
        return [task for task in self.cells.values() if task.kind == Kind.FINETUNE]


def read_study(folder: Path) -> Study:
    """Reads the folder of a study; only its plan and its scores have to be there.

    Raises:
        ValueError: when the plan or the scores are absent, empty or not what they should be.
    """
    path = folder / PLAN
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the folder of a study, the --output of study run")
    plan = Plan.read(path)
    shown = {method: f"{method} ({MARK})" if plan.transductive else method for method in plan.methods}
    scratch = [method for method, bundle in plan.methods.items() if from_scratch(bundle)]
    scores = _scores(folder / SCORES, COLUMNS, shown)
    present = set(scores["method"])
    environment = folder / ENVIRONMENT
    return Study(
        folder=folder,
        plan=plan,
        scores=scores,
        shown=shown,
        reference=next((shown[method] for method in scratch if shown[method] in present), BEST),
        cells=_cells(folder),
        environment=json.loads(environment.read_text(encoding="utf-8")) if environment.is_file() else {},
        card=csv_files.read_table(folder / CARD, dtype=str) if (folder / CARD).is_file() else None,
        pooled=_scores(
            folder / PAPER_COMPAT, ["method", "labelled", "fold", "draw", "seed", "class", "metric", "value"], shown
        )
        if (folder / PAPER_COMPAT).is_file()
        else None,
    )


def _scores(path: Path, columns: list[str], shown: dict[str, str]) -> pd.DataFrame:
    """A table of scores, ordered by the methods of the plan; its texts as they stand, such as "None" or "001"."""
    try:
        scores = read_scores(path)
    except (FileNotFoundError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} holds no scores; run the study until a fine-tuning is done") from error
    missing = [column for column in columns if column not in scores]
    unknown = sorted(set(scores.get("method", [])) - set(shown))
    if missing or unknown or not len(scores):
        raise ValueError(
            f"{path} is not a table of this study's scores: expected the columns {', '.join(columns)} and methods of "
            f"the plan ({', '.join(shown)}); it has {len(scores)} rows, lacks the columns {missing} and names the "
            f"methods {unknown}"
        )
    places = {method: number for number, method in enumerate(shown)}
    ordered = scores.sort_values("method", key=lambda names: names.map(places), kind="stable", ignore_index=True)
    return ordered.assign(method=ordered["method"].map(shown))


def _cells(folder: Path) -> dict[str, Task]:
    cells = {}
    for path in sorted(folder.glob("*/*/*/task.json")):
        task = Task.read(path)
        cells[task.name] = task
    return cells
