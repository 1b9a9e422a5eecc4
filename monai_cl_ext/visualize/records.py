# SPDX-License-Identifier: Apache-2.0
"""Finds runs below a folder and reads what they recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from monai_cl_ext.csv_files import read_rows
from monai_cl_ext.event_files import EVENT_FILES
from monai_cl_ext.files import load_tensors

Record: TypeAlias = dict[str, Any]
Curve: TypeAlias = list[tuple[int, float]]
"""(step, value) of one scalar."""


@dataclass(frozen=True)
class Run:
    """One folder of records: of one stage, or of a training and its evaluation.

    Attributes:
        name: path below the folder that was searched, without a bundle's folder eval.
        folder: where the records are.
        stages: the records ``run_<stage>.json`` by stage, in the order in which they began.
    """

    name: str
    folder: Path
    stages: dict[str, Record]

    @property
    def trained(self) -> Record | None:
        """The record of the stage that trained here."""
        return next((record for record in self.stages.values() if record["trains"]), None)

    @property
    def begun(self) -> float:
        """When its first stage began, in seconds since 1970; 0 where that is not known."""
        return min((record["begun"] for record in self.stages.values()), default=0.0)

    def tensors(self, name: str) -> Record | None:
        """Content of the record ``<name>.pt``: "batch", "embeddings" or "overlays"; None where there is none."""
        path = self.folder / f"{name}.pt"
        if not path.is_file():
            return None
        try:
            return load_tensors(path)
        except ValueError as error:
            raise ValueError(f"{error}; delete it, or run the stage again") from error

    def scores(self) -> list[Record] | None:
        """Rows of metrics.csv of volumes: "volume" and "class" as text, the others as numbers; None without any."""
        path, rows = self._metrics()
        if rows is None or _of_photographs(rows):
            return None
        try:
            return [
                {name: value if name in ("volume", "class") else float(value) for name, value in row.items()}
                | {"dice": float(row["dice"]), "hd95": float(row["hd95"]), "volume": row["volume"]}
                for row in rows
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a table of scores ({error!r}): expected the columns volume, class, dice, hd95, missed"
            ) from error

    def photograph_scores(self) -> list[Record] | None:
        """Rows of metrics.csv of photographs, as text, see ``ClassificationScoresHandler``; None without such rows."""
        _, rows = self._metrics()
        return rows if rows and _of_photographs(rows) else None

    def _metrics(self) -> tuple[Path, list[Record] | None]:
        path = self.folder / "metrics.csv"
        return path, read_rows(path) if path.is_file() else None

    def curves(self, stage: str | None = None) -> dict[str, Curve]:
        """Scalars of a stage that trained here, by tag, from the TensorBoard files that its record names.

        A step that an interrupted and resumed run logged twice counts once, as it was logged last. What an earlier run
        or another stage left in the same folder does not count.

        Args:
            stage: the first that trained when None.
        """
        record = self.trained if stage is None else self.stages[stage]
        if record is None:
            return {}
        names = record.get("event_files")
        if names is None:  # a record of before the files were named
            names = sorted(path.name for path in self.folder.glob(EVENT_FILES))
        latest: dict[str, dict[int, float]] = {}
        for path in (self.folder / name for name in names):
            for tag, step, value in _scalars(path) if path.is_file() else ():
                latest.setdefault(tag, {})[step] = value
        curves = {
            tag: [(step, value) for step, value in sorted(values.items()) if math.isfinite(value)]
            for tag, values in latest.items()
        }
        return {tag: curve for tag, curve in curves.items() if curve}


def _of_photographs(rows: list[Record]) -> bool:
    """Whether rows of scores are those of a classification."""
    return bool(rows) and {"classifier", "score", "value"} <= rows[0].keys()


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each scalar in a TensorBoard file, in the order in which they were logged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    for tag in events.Tags()["scalars"]:
        yield from ((tag, event.step, event.value) for event in events.Scalars(tag))


def find_runs(folder: str | Path) -> list[Run]:
    """All folders with records at and below ``folder``, in the order in which they began.

    Raises:
        ValueError: when the folder does not exist or holds no record.
    """
    top = Path(folder)
    if not top.is_dir():
        raise ValueError(f"{top} is not a folder; give the folder of a run, or one that holds several")
    found = {path.parent for pattern in ("run_*.json", "metrics.csv") for path in top.rglob(pattern)}
    if not found:
        raise ValueError(
            f"{top} holds no records of a run: expected run_<stage>.json or metrics.csv in it or below it; "
            "give the output_dir of a stage that has run"
        )
    runs = [Run(_name(path, top), path, _stages(path)) for path in found]
    return sorted(runs, key=lambda run: (run.begun, run.name))


def _name(path: Path, top: Path) -> str:
    """The path without the folder eval, where a bundle keeps its records."""
    return "/".join(part for part in path.relative_to(top).parts if part != "eval") or top.resolve().name


def _stages(folder: Path) -> dict[str, Record]:
    records = []
    for path in folder.glob("run_*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            records.append((record["begun"], record["stage"], record))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not the record of a run ({error!r}); delete it, or run again") from error
    return {stage: record for _, stage, record in sorted(records, key=lambda item: item[:2])}
