# SPDX-License-Identifier: Apache-2.0
"""What the cells of a study took: time, memory, images a second, waiting for data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from monai_cl_ext.study.layout import INFERENCE_LAST, REUSED
from monai_cl_ext.study.report.records import Study
from monai_cl_ext.study.task import Kind, Task
from monai_cl_ext.visualize.records import Record
from monai_cl_ext.visualize.table import Table
from monai_cl_ext.visualize.wording import duration

COLUMNS = ["method", "stage", "cell", "seconds", "images_per_second", "peak_memory_bytes", "trained", "waited"]


@dataclass(frozen=True)
class StageCost:
    """What one stage of a cell took.

    Attributes:
        name: of the run, which is that of its stage, such as "train", but for a second one.
        seconds: from its start to its end, reading the data included; of a stage that was resumed, those of its epochs.
        record: of ``handlers.RunRecord``; empty for a stage that keeps none.
    """

    name: str
    seconds: float
    record: Record


def stage_costs(root: Path, task: Task) -> list[StageCost]:
    """The stages that a cell has done itself, by their ``<stage>.done`` and, where there is one, ``run_<stage>.json``.

    Args:
        root: folder of the study.
        task: the cell.
    """
    costs = []
    for run in task.runs:
        name, folder = run.name, root / task.name
        done = folder / f"{name}.done"
        if done.is_file() and not (folder / f"{name}{REUSED}").is_file():
            found = next(iter(sorted(folder.rglob(f"run_{name}.json"))), None)
            record = _record(found) if found else {}
            seconds = max(float(done.read_text(encoding="utf-8")), record.get("seconds", 0.0))
            costs.append(StageCost(name, seconds, record))
    return costs


def _record(path: Path) -> Record:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the record of a run ({error!r}); delete it, or run the cell again") from error


def method_costs(study: Study) -> pd.DataFrame:
    """One row for each stage of each cell that a method needs; a cell that several methods share is a row of each.

    Returns:
        Columns method, stage, cell, seconds, images_per_second, peak_memory_bytes, trained and waited (seconds of
        training, and of these the seconds in which it waited for data); nan where not known.
    """
    rows = []
    for method, shown in study.shown.items():
        own = [task for task in study.finetuned if task.facts["method"] == method]
        names = list(dict.fromkeys(name for task in own for name in needed(study, task)))
        for name in names:
            rows += [(shown, *row) for row in _stage_rows(study, study.cells[name])]
    return pd.DataFrame(rows, columns=COLUMNS)


def _stage_rows(study: Study, task: Task) -> Iterator[tuple[str, str, float, float, float, float, float]]:
    for cost in stage_costs(study.folder, task):
        record = cost.record
        stage = f"{cost.name}, to choose {_choice(task)}" if task.kind == Kind.CHOICE else cost.name
        speed, memory = record.get("images_per_second"), record.get("peak_memory_bytes")
        waited = record.get("data_wait_seconds")
        yield (
            stage, task.name, cost.seconds, speed or math.nan, memory or math.nan,
            record.get("seconds", math.nan), math.nan if waited is None else waited,
        )  # fmt: skip


def _choice(task: Task) -> str:
    return next((name for name in task.facts if name not in ("method", "labelled", "fold", "draw", "seed")), "")


def needed(study: Study, task: Task) -> list[str]:
    """Names of a cell and of all that have to be done before it, as far as the study's folder has them; in order."""
    names: list[str] = []
    for need in task.needs:
        if need in study.cells:
            names += [name for name in needed(study, study.cells[need]) if name not in names]
    return [*names, task.name]


def network_costs(study: Study) -> pd.DataFrame:
    """Seconds from nothing to one scored network: its fine-tuning and all that this needs, but for its last checkpoint.

    Returns:
        Columns method, labelled, seconds: the mean over the cells that are done.
    """
    seconds = {
        name: sum(cost.seconds for cost in stage_costs(study.folder, task) if cost.name != INFERENCE_LAST)
        for name, task in study.cells.items()
    }
    rows = [
        (study.shown[task.facts["method"]], task.facts["labelled"], sum(seconds[name] for name in needed(study, task)))
        for task in study.finetuned
        if seconds[task.name] and task.facts["method"] in study.shown
    ]
    table = pd.DataFrame(rows, columns=["method", "labelled", "seconds"])
    return table.groupby(["method", "labelled"], sort=False)["seconds"].mean().reset_index()


def cost_table(costs: pd.DataFrame) -> Table:
    """One row for each stage of each method: time of one run, images a second, memory, waiting for data.

    Args:
        costs: see :func:`method_costs`.
    """
    rows = []
    for (method, stage), part in costs.groupby(["method", "stage"], sort=False):
        speed, memory = part["images_per_second"].mean(), part["peak_memory_bytes"].max()
        known = part[part["waited"].notna()]
        share = known["waited"].sum() / known["trained"].sum() if known["trained"].sum() else math.nan
        rows.append([
            str(method), str(stage), str(len(part)), duration(part["seconds"].mean()),
            duration(part["seconds"].sum()), "–" if math.isnan(speed) else f"{speed:.3g}",
            "–" if math.isnan(memory) else f"{memory / 2**30:.2f} GiB", "–" if math.isnan(share) else f"{share:.0%}",
        ])  # fmt: skip
    return Table(
        "Cost of each stage",
        ["method", "stage", "runs", "one run", "all runs", "images/s", "peak memory", "waiting for data"],
        rows,
        "Time: from start to end of a stage, with reading the data and validating; images/s and waiting for data: of "
        "the epochs alone. Peak memory: of tensors on a GPU, of the whole process on a CPU. A stage that serves "
        "several methods stands under each. – where a bundle keeps no record.",
    )
