# SPDX-License-Identifier: Apache-2.0
"""One cell of a study: stages of a bundle in a folder of its own, and the scores of what it then predicts.

``python -m monai_cl_ext.study.task FOLDER`` runs the cell that FOLDER/task.json describes.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from monai_cl_ext.data.splits import Case
from monai_cl_ext.errors import root_cause
from monai_cl_ext.files import write_text
from monai_cl_ext.study.bundles import Bundle

SCORES, PAPER_COMPAT, DONE = "scores.csv", "paper_compat.csv", "done"
TABLES = (SCORES, PAPER_COMPAT)


@dataclass(frozen=True)
class Task:
    """What a cell runs.

    Attributes:
        name: its folder below the study's: "finetune/scratch/labelled_2_draw_0_seed_0_fold_0".
        bundle, overlays: what it runs, see :class:`Bundle`.
        runs: stages and settings of each run, one after another: ``[[["train"], {...}], [["inference"], {...}]]``.
        needs: names of cells that have to be done before.
        facts: columns of its scores: method, labelled, fold, draw, seed.
        scored: cases whose predictions are scored against their labels.
        scoring: the arguments ``classes``, ``use_spacing`` and ``tolerance`` of :func:`score_predictions`.
        slice_axis: of the volumes, for the slice-wise scores of :func:`paper_compat_scores`.
        chosen: a setting of the first run and the cells, by its value, that compete for it: the best mean Dice wins.
    """

    name: str
    bundle: str
    overlays: list[str]
    runs: list[tuple[list[str], dict[str, Any]]]
    needs: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    scored: list[Case] = field(default_factory=list)
    scoring: dict[str, Any] = field(default_factory=dict)
    slice_axis: int = 2
    chosen: dict[str, dict[str, str]] = field(default_factory=dict)


def is_done(folder: Path) -> bool:
    """Whether a cell is done and its scores are whole.

    Raises:
        ValueError: when it says that it is done and its scores are absent or not those that it wrote.
    """
    if not (folder / DONE).is_file():
        return False
    expected = (folder / DONE).read_text(encoding="utf-8").strip()
    if expected:
        absent = [name for name in TABLES if not (folder / name).is_file()]
        if absent or _hash(folder) != expected:
            problem = f"its {absent[0]} is absent" if absent else f"{' or '.join(TABLES)} is damaged"
            raise ValueError(f"{folder} says that it is done, but {problem}; remove the folder and run again")
    return True


def write_task(task: Task, root: Path) -> Path:
    """Writes the description of a cell into its folder, which it returns.

    Raises:
        ValueError: when the folder describes another cell.
    """
    folder = root / task.name
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / "task.json", json.dumps(asdict(task), indent=1)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} describes another cell than this study's; give another output, or remove {folder}")
    write_text(path, text)
    return folder


def run_task(folder: str | Path, *, progress: bool = False) -> None:
    """Runs what is missing of a cell; a second process waits until the first has ended.

    Args:
        folder: of the cell.
        progress: trainings show bars in place of their logs.
    """
    from monai_cl_ext.study.paper_compat import paper_compat_scores
    from monai_cl_ext.study.scores import find_predictions, score_predictions
    from monai_cl_ext.study.stage import run_stage

    folder = Path(folder).resolve()
    with FileLock(folder / ".lock"):
        if is_done(folder):
            return
        task = Task(**json.loads((folder / "task.json").read_text(encoding="utf-8")))
        root = folder.parents[len(Path(task.name).parts) - 1]
        bundle = Bundle(Path(task.bundle), tuple(task.overlays)).copy(folder)
        choices = {setting: choose(root, cells) for setting, cells in task.chosen.items()}
        for number, (stages, settings) in enumerate(task.runs):
            run_stage(bundle, stages, {**settings, **(choices if number == 0 else {})}, progress=progress)
        if task.scored:
            classes = {int(label): name for label, name in task.scoring["classes"].items()}
            predictions = find_predictions(task.scored, folder)
            scores = score_predictions(task.scored, predictions, **{**task.scoring, "classes": classes})
            compat = paper_compat_scores(task.scored, predictions, classes, task.slice_axis)
            for name, table in ((SCORES, scores), (PAPER_COMPAT, compat)):
                marked = table.assign(**{**task.facts, **choices})
                write_text(folder / name, marked[[*task.facts, *choices, *table.columns]].to_csv(index=False))
        write_text(folder / DONE, _hash(folder) if task.scored else "")
        for states in (folder / "models").glob("resume_*"):
            shutil.rmtree(states)  # large, and of no use once the cell is done


def choose(root: Path, cells: Mapping[str, str]) -> float:
    """The value whose cell has the highest mean Dice over patients; of equal ones the first.

    Args:
        root: folder of the study.
        cells: names of cells by value.
    """
    from monai_cl_ext.study.scores import read_table

    means = {}
    for value, name in cells.items():
        scores = read_table(root / name / SCORES)
        mean = scores[scores["metric"] == "dice"].groupby("patient")["value"].mean().mean()
        means[value] = -math.inf if math.isnan(mean) else mean
    return float(max(means, key=means.__getitem__))


def _hash(folder: Path) -> str:
    """Of the tables of a cell."""
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in TABLES)).hexdigest()


if __name__ == "__main__":
    try:
        run_task(sys.argv[1])
    except Exception as failure:
        traceback.print_exc()
        sys.exit(root_cause(failure))
