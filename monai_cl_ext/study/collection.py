# SPDX-License-Identifier: Apache-2.0
"""Collects the scores of the cells that are done."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from monai_cl_ext.csv_files import write_table
from monai_cl_ext.study.layout import SCORES, SCORES_LAST
from monai_cl_ext.study.scores import read_scores
from monai_cl_ext.study.task import Kind, Task, is_done


def collect_scores(tasks: Sequence[Task], root: Path, table: str = SCORES) -> pd.DataFrame:
    """The scores of all fine-tunings that are done, one row for each volume, class, metric and cell.

    Args:
        tasks: cells of the study.
        root: folder of the study.
        table: the file to collect; paper_compat.csv has one row for each class, metric and cell.

    Returns:
        Columns method, labelled, fold, draw, seed, volume, patient, class, metric, value, missed, and learning_rate
        where it was chosen; empty when nothing is done.

    A cell whose scores are damaged is left out, with a warning that names its folder; one whose last checkpoint is not
    scored has no rows in scores_last.csv.
    """
    cells = [
        task
        for task in tasks
        if task.kind == Kind.FINETUNE and table in task.tables and _is_whole(root / task.name, table)
    ]
    tables = [read_scores(root / task.name / table) for task in cells]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _is_whole(folder: Path, table: str) -> bool:
    try:
        whole = is_done(folder)
        if whole and not (folder / table).is_file():
            raise ValueError(f"{folder} was run by a version that wrote no {table}")
        return whole
    except ValueError as error:
        warnings.warn(f"{error}; its scores are left out", stacklevel=3)
        return False


def write_tables(tasks: Sequence[Task], root: Path) -> None:
    """Writes the tables of scores of a study from the cells that are done, and says so."""
    names = [name for task in tasks if task.kind == Kind.FINETUNE for name in task.tables]
    for table in dict.fromkeys(names):
        scores = collect_scores(tasks, root, table)
        if (
            table == SCORES_LAST and scores.empty
        ):  # methods without a last checkpoint may be the only ones that are done
            (root / table).unlink(missing_ok=True)
            continue
        write_table(root / table, scores)
        print(f"{len(scores)} scores of the finished cells are in {root / table}")
