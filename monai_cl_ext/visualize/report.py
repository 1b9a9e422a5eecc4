# SPDX-License-Identifier: Apache-2.0
"""The report page: one HTML file that holds all figures of the runs below a folder."""

from __future__ import annotations

from pathlib import Path

from monai_cl_ext.visualize.overlays import draw_overlays
from monai_cl_ext.visualize.page import Section, saved, write_page
from monai_cl_ext.visualize.records import Record, Run, find_runs
from monai_cl_ext.visualize.scores import draw_scores
from monai_cl_ext.visualize.tables import (
    comparisons,
    data_table,
    leak,
    photograph_table,
    score_tables,
    settings_tables,
    stage_table,
    versions,
)
from monai_cl_ext.visualize.training_sections import MAXIMUM_PICTURED, file_prefix, left_out, training_sections

MAXIMUM_LEAD = 6  # sentences on top of the page
CHOSEN_ON = "Validation volumes chose the weights: on volumes that chose nothing, scores are lower as a rule."


def write_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Writes the page of all runs at and below a folder, and their figures as PNG and SVG into ``<folder>/figures``.

    Args:
        folder: a run's folder, or one that holds several.
        output: the page; ``<folder>/report.html`` when None.

    Returns:
        Where the page is.

    Raises:
        ValueError: when the folder is absent, holds no record, or a record cannot be read.
    """
    folder = Path(folder)
    runs = find_runs(folder)
    page = Path(output) if output is not None else folder / "report.html"
    figures = folder / "figures"
    sections = [
        _overview(runs),
        *training_sections(runs, figures),
        _scores(runs, figures),
        _photographs(runs),
        _overlays(runs, figures),
        _details(runs),
    ]
    shown = [section for section in sections if section.tables or section.groups or section.folded]
    lead = comparisons({run.name: rows for run, rows in evaluated_runs(runs)})[:MAXIMUM_LEAD]
    return write_page(page, "run", folder.resolve().name, lead, shown, versions=versions(runs))


def _overview(runs: list[Run]) -> Section:
    section = Section("runs", "What was run")
    tables = [stage_table(runs), data_table(runs)]
    section.tables = [table for table in tables if table.rows]
    section.text = leak(runs)
    return section


def _details(runs: list[Run]) -> Section:
    every = score_tables({run.name: rows for run, rows in evaluated_runs(runs)}, unit_of(runs))[1]
    return Section("details", "Settings and all scores", folded=[*settings_tables(runs), *every])


def _scores(runs: list[Run], figures: Path) -> Section:
    parts = {part for run in runs for part in run.stages.get("evaluate", {}).get("data", {})}
    section = Section("scores", f"Scores on {' and '.join(sorted(parts)) or 'test'} volumes")
    if "validation" in parts:
        section.text = [CHOSEN_ON]
    scores = {run.name: rows for run, rows in evaluated_runs(runs)}
    if scores:
        if len(scores) > 1:
            section.text += ["One run each: how much seeds and draws of patients change the scores is not seen here."]
        section.tables = score_tables(scores, unit_of(runs))[0]
        drawings = [draw_scores(scores, metric, unit_of(runs)) for metric in ("dice", "hd95")]
        section.groups = [("", saved(drawings, figures))]
    return section


def _photographs(runs: list[Run]) -> Section:
    scores = {run.name: rows for run in runs if (rows := run.photograph_scores())}
    return Section("photographs", "Scores on photographs", tables=[photograph_table(scores)] if scores else [])


def _overlays(runs: list[Run], figures: Path) -> Section:
    found = [(run, rows, record) for run, rows in evaluated_runs(runs) if (record := run.tensors("overlays"))]
    section = Section("overlays", "Best, median and worst volume", left_out(len(found)))
    drawn = [
        draw_overlays(record, rows, run.name, f"{file_prefix(run)}overlays")
        for run, rows, record in found[:MAXIMUM_PICTURED]
    ]
    drawings = [drawing for drawing in drawn if drawing is not None]
    section.groups = [("", saved(drawings, figures))] if drawings else []
    return section


def evaluated_runs(runs: list[Run]) -> list[tuple[Run, list[Record]]]:
    """The runs with scores and their rows; those that were trained from scratch come first."""
    found = [(run, rows) for run in runs if (rows := run.scores())]
    return sorted(found, key=lambda item: not from_scratch(item[0]))


def unit_of(runs: list[Run]) -> str:
    """The unit of distances: mm, or voxels where evaluations did not use the spacing."""
    settings = [run.stages["evaluate"]["settings"] for run in runs if "evaluate" in run.stages]
    units = dict.fromkeys("mm" if found.get("use_spacing", True) else "voxels" for found in settings)
    return " or ".join(units) or "mm"


def from_scratch(run: Run) -> bool:
    """Whether the run's training names no weights to start from."""
    return run.trained is not None and run.trained["settings"].get("pretrained") == ""
