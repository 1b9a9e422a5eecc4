# SPDX-License-Identifier: Apache-2.0
"""The tables of the report page: runs, data, settings, scores."""

from __future__ import annotations

import json
import math
from typing import Any

from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.visualize.records import Record, Run
from monai_cl_ext.visualize.scores import classes_of, mean, volume_means
from monai_cl_ext.visualize.table import Table
from monai_cl_ext.visualize.wording import duration


def stage_table(runs: list[Run]) -> Table:
    """One row for each stage of each run: how far it came, its time, speed, memory and seed."""
    head = ["run", "stage", "state", "steps", "time", "images/s", "peak memory", "seed", "device"]
    rows = []
    for run in runs:
        for stage, record in run.stages.items():
            epochs = f"{record['epochs']} of {record['max_epochs']} epochs"
            if record["trains"]:
                state = "completed" if record["completed"] else f"stopped after {epochs}"
            else:
                state = "completed" if record["completed"] else "stopped"
            speed, memory = record.get("images_per_second"), record.get("peak_memory_bytes")
            processes = f", {record['processes']} processes" if record["processes"] > 1 else ""
            threads = f", {record['threads']} thread{'s' if record['threads'] > 1 else ''}"
            rows.append([
                run.name, stage, state,
                f"{record.get('iterations', 0):,}" if record["trains"] else "–",
                duration(record["seconds"]),
                f"{speed:.3g}" if speed and record["trains"] else "–",
                f"{memory / 2**30:.2f} GiB" if memory else "–",
                str(record["settings"].get("seed", "–")),
                f"{record['device']}{threads}{processes}",
            ])  # fmt: skip
    return Table("Runs (time with validation, without reading the data)", head, rows)


def data_table(runs: list[Run]) -> Table:
    """One row for each part of the data, with the runs that used it."""
    cards: dict[str, tuple[str, Record]] = {}
    used: dict[str, list[str]] = {}
    for run in runs:
        for record in run.stages.values():
            for part, card in record["data"].items():
                key = json.dumps([part, card["patient_of_volume"]])
                if len(card) > len(cards.get(key, ("", {}))[1]):
                    cards[key] = part, card
                if run.name not in used.setdefault(key, []):
                    used[key].append(run.name)
    rows = [
        [
            part, str(card["patients"]), str(card["volumes"]), str(card.get("slices", "–")),
            " × ".join(map(str, card["slice_size"])) if "slice_size" in card else "–", ", ".join(used[key]),
        ]
        for key, (part, card) in cards.items()
    ]  # fmt: skip
    return Table("Data", ["part", "patients", "volumes", "slices", "slice size (px)", "used by"], rows)


def leak(runs: list[Run]) -> list[str]:
    """A sentence on whether test patients were trained on, where both are known.

    Runs that test may be of different splits, such as folds, so the patients of each are held against those that it
    trained on itself, and against those of the runs that test nobody, from whose weights it may have begun.
    """
    parts = [_trained_and_tested(run) for run in runs]
    before = {patient for trained, tested in parts if not tested for patient in trained}
    trained = {patient for found, _ in parts for patient in found}
    tested = {patient for _, found in parts for patient in found}
    if not tested or not trained:
        return []
    both = sorted({patient for own, found in parts for patient in found & (own | before)})
    if both:
        return [f"Warning: {len(both)} of {len(tested)} test patients were trained on: {', '.join(both)}."]
    return [f"None of the {len(tested)} test patients was trained on."]


def _trained_and_tested(run: Run) -> tuple[set[str], set[str]]:
    """The patients that the stages of a run trained on, and those that they tested."""
    trained: set[str] = set()
    tested: set[str] = set()
    for record in run.stages.values():
        for part, card in record["data"].items():
            if part == "test":
                tested |= set(card["patient_of_volume"])
            elif part != "validation":
                trained |= set(card["patient_of_volume"])
    return trained, tested


def settings_tables(runs: list[Run]) -> list[Table]:
    """The settings of each stage, and the patients of each part."""
    tables = []
    for run in runs:
        for stage, record in run.stages.items():
            rows = [[name, _text(value)] for name, value in record["settings"].items()]
            for part, card in record["data"].items():
                rows.append([f"patients: {part}", ", ".join(dict.fromkeys(card["patient_of_volume"]))])
            if rows:
                tables.append(Table(f"Settings of {run.name} · {stage}", ["setting", "value"], rows))
    return tables


def versions(runs: list[Run]) -> str:
    """Versions of all that took part, those that differ between runs side by side."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for record in run.stages.values():
            for name, version in record["versions"].items():
                if version not in found.setdefault(name, []):
                    found[name].append(version)
    return ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in found.items())


def score_tables(scores: dict[str, list[Record]], unit: str) -> tuple[list[Table], list[Table]]:
    """Means of each run for each class; and the score of each volume.

    Args:
        scores: rows of metrics.csv by name of the run.
        unit: of distances.
    """
    classes = classes_of(scores)
    means, folded = [], []
    for metric in ("dice", "hd95"):
        name, digits = METRICS[metric].label(unit), METRICS[metric].digits
        rows = []
        for run, found in scores.items():
            each = [mean([row[metric] for row in found if row["class"] == label]) for label in classes]
            total = mean(list(volume_means(found, metric).values()))
            rows.append([run, *(_number(value, digits) for value in (*each, total))])
        means.append(Table(f"Mean {name} over volumes", ["run", *classes, "all classes"], rows))
        every = [
            [run, row["volume"], row["class"], _number(row[metric], digits)]
            for run, found in scores.items() for row in found
        ]  # fmt: skip
        folded.append(Table(f"{name} of every volume and class", ["run", "volume", "class", name], every))
    return means, folded


def photograph_table(scores: dict[str, list[Record]]) -> Table:
    """The scores of each class of photographs with their intervals over patients.

    Args:
        scores: rows of metrics.csv by name of the run.
    """
    columns = list(dict.fromkeys(row["score"] for rows in scores.values() for row in rows))
    found: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for run, rows in scores.items():
        for row in rows:
            value, low, high = (_number(float(row[name]), 3) for name in ("value", "low", "high"))
            key = (run, row["classifier"].replace("_", " "), row["class"], row["images"])
            found.setdefault(key, {})[row["score"]] = f"{value} [{low}, {high}]"
    names = {"auroc": "AUROC", "aupr": "AUPR"}
    head = ["run", "classifier", "class", "photographs", *(names.get(name, name) for name in columns)]
    cells = [[*key, *(values.get(name, "") for name in columns)] for key, values in found.items()]
    return Table("Scores with their intervals over patients", head, cells)


def comparisons(scores: dict[str, list[Record]]) -> list[str]:
    """A sentence for each run after the first: how its mean Dice differs on the volumes that both segmented."""
    if not scores:
        return []
    (first, rows), *others = scores.items()
    reference = volume_means(rows, "dice")
    sentences = []
    for name, found in others:
        pairs = [(dice, reference.get(volume, math.nan)) for volume, dice in volume_means(found, "dice").items()]
        differences = [dice - base for dice, base in pairs if not math.isnan(dice - base)]
        if differences:
            better = sum(difference > 0 for difference in differences)
            sentences.append(
                f"{name} against {first}: mean Dice {sum(differences) / len(differences):+.3f}, higher in {better} of "
                f"{len(differences)} volumes."
            )
    return sentences


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:400]}…"
