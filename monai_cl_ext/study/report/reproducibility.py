# SPDX-License-Identifier: Apache-2.0
"""All that is needed to run a study again, as tables."""

from __future__ import annotations

import json
from typing import Any

from monai_cl_ext.data.file_names import case_name
from monai_cl_ext.data.splits import Case, draw_patients
from monai_cl_ext.study.report.records import Study
from monai_cl_ext.study.splits import PARTS
from monai_cl_ext.visualize.table import Table


def card_tables(study: Study) -> list[Table]:
    """Where the study ran, its bundles, its plan, its data."""
    tables = [_environment(study), _bundles(study), _plan(study)]
    if study.card is not None:
        card = study.card.assign(fold="fold " + study.card["fold"]) if "fold" in study.card else study.card
        rows = [[str(cell) for cell in row] for row in card.itertuples(index=False)]
        note = "Classes: the number of volumes whose label has them. Spacing as the headers tell it."
        note = note if study.problem.maps else "Size: width x height. Classes: the number of photographs of each."
        tables.append(Table("Data", [str(name) for name in study.card], rows, note))
    return [table for table in tables if table.rows]


def split_tables(study: Study) -> list[Table]:
    """The patients of each part with their volumes; and the labeled patients of each draw."""
    tables = []
    for fold, split in enumerate(study.plan.splits):
        rows = [[f"{part} ({len(_patients(split[part]))})", _volumes(split[part])] for part in PARTS]
        items = f"{study.problem.item}s"
        tables.append(Table(f"Patients and {items} of fold {fold}", ["part (patients)", items], rows))
        draws = [
            [f"{labelled}, draw {draw}", ", ".join(_patients(draw_patients(split["train"], labelled, draw)))]
            for labelled in study.plan.labelled
            for draw in range(study.plan.draws)
        ]
        tables.append(Table(f"Labeled patients of fold {fold}", ["number and draw", "patients"], draws))
    return tables


def _environment(study: Study) -> Table:
    found = dict(study.environment)
    versions = found.get("versions", {})
    rows = [["versions", ", ".join(f"{name} {version}" for name, version in versions.items())]]
    rows += [[name.replace("_", " "), _text(value)] for name, value in found.items() if not isinstance(value, dict)]
    return Table("Where the study was planned", ["what", "value"], rows if found else [])


def _bundles(study: Study) -> Table:
    hashes = study.environment.get("bundles", {})
    rows = [[name, value] for name, value in hashes.items()]
    return Table("Bundles", ["bundle", "SHA-256 of its config files"], rows)


def _plan(study: Study) -> Table:
    """The plan's arguments; its splits stand in tables of their own."""
    plan = study.plan
    rows = [["method", f"{study.shown[method]}: {bundle}"] for method, bundle in plan.methods.items()]
    rows += [
        [name.replace("_", " "), _text(value)]
        for name, value in vars(plan).items()
        if name not in ("methods", "splits", "problem", *study.problem.without)
    ]
    rows.append(["test sets", str(len(plan.splits))])
    rows.append(["seeds of the draws", _range(plan.draws)])
    rows.append(["seeds of the fine-tunings", _range(plan.seeds)])
    rows.append(["seed of pre-training", str({**plan.settings, **plan.pretrain_settings}.get("seed", 0))])
    return Table("Plan", ["argument", "value"], rows)


def _patients(cases: list[Case]) -> list[str]:
    return list(dict.fromkeys(str(case["patient"]) for case in cases))


def _volumes(cases: list[Case]) -> str:
    return ", ".join(case_name(case["image"]) for case in cases)


def _range(count: int) -> str:
    return ", ".join(map(str, range(count)))


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) or "–"
