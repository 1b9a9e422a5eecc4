# SPDX-License-Identifier: Apache-2.0
"""The report page of a study: one HTML file, its tables as Markdown and LaTeX, its figures as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from monai_cl_ext.files import write_text
from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.comparison import differences, patient_table, summary
from monai_cl_ext.visualize.cost import draw_cost
from monai_cl_ext.visualize.cost_records import cost_table, method_costs, network_costs
from monai_cl_ext.visualize.critical_difference import draw_critical_difference
from monai_cl_ext.visualize.learning_curve import draw_learning_curve
from monai_cl_ext.visualize.page import Section, saved, write_page
from monai_cl_ext.visualize.records import find_runs
from monai_cl_ext.visualize.study_card import card_tables, split_tables
from monai_cl_ext.visualize.study_lead import findings, numbers, reservations
from monai_cl_ext.visualize.study_overlays import draw_study_overlays
from monai_cl_ext.visualize.study_records import Study, read_study
from monai_cl_ext.visualize.study_scores import draw_study_scores, missed_table
from monai_cl_ext.visualize.study_tables import (
    as_latex,
    as_markdown,
    labels_table,
    metric_tables,
    metrics_of,
    pooled_tables,
)
from monai_cl_ext.visualize.tables import duration
from monai_cl_ext.visualize.training_sections import training_sections

PRETRAINING = "pretrain"
"""Folder of its cells."""

SHOWN = ("dice", "hd95")
"""Metrics whose tables are seen at once; the others unfold."""


def write_study_report(folder: Path) -> Path:
    """Writes report.html, table.md, table.tex and figures/ of a study into its folder.

    Args:
        folder: of the study, with plan.json and scores.csv; every other part of the page needs its own files and is
            left out without them.

    Returns:
        Where the page is.

    Raises:
        ValueError: when the plan or the scores are absent or not what they should be.
    """
    folder = Path(folder)
    study = read_study(folder)
    figures = folder / "figures"
    means, compared = summary(study.scores, "dice"), differences(study.scores, "dice", study.reference)
    sections = [
        _curve(study, means, compared, figures),
        _tables(study, means),
        _ranks(study, figures),
        _classes(study, figures),
        _cost(study, means, figures),
        _overlays(study, compared, figures),
        *_pretraining(folder, figures),
        _pooled(study),
        Section("reproducibility", "Reproducibility", tables=card_tables(study), folded=split_tables(study)),
    ]
    shown = [part for part in sections if part.text or part.tables or part.groups]
    write_text(folder / "table.md", as_markdown(study))
    write_text(folder / "table.tex", as_latex(study))
    page = folder / "report.html"
    notes = [*numbers(study, compared), *reservations(study)]
    return write_page(page, "study", study.title, findings(study, compared), shown, notes)


def _curve(study: Study, means: pd.DataFrame, compared: pd.DataFrame, figures: Path) -> Section:
    drawing = draw_learning_curve(means, compared, study.reference, study.methods)
    return Section("curve", "Learning curve", groups=[("", saved([drawing], figures))])


def _tables(study: Study, means: pd.DataFrame) -> Section:
    section = Section("tables", "Scores", ["The same tables are in table.md and table.tex."])
    for metric in metrics_of(study):
        tables = metric_tables(study, metric)
        if metric in SHOWN:
            section.tables += tables
        else:
            section.folded += tables
        if metric == "dice" and (labels := labels_table(study, means)):
            section.tables.append(labels)
    return section


def _ranks(study: Study, figures: Path) -> Section:
    table = patient_table(study.scores, "dice")
    drawn = [draw_critical_difference(table, labelled) for labelled in sorted(set(table["labelled"]))]
    drawings = [drawing for drawing in drawn if drawing is not None]
    section = Section("ranks", "Ranks", groups=[("", saved(drawings, figures))] if drawings else [])
    if not drawings:
        section.text = ["No diagram of ranks: it takes three methods and two patients with scores of all."]
    return section


def _classes(study: Study, figures: Path) -> Section:
    section = Section("classes", "Scores per class")
    for metric in metrics_of(study):
        if metric in SHOWN:
            counts = sorted(set(study.scores["labelled"]))
            drawings = [draw_study_scores(study.scores, metric, labelled, study.unit) for labelled in counts]
            section.groups.append((METRICS[metric].title, saved(drawings, figures)))
    section.folded = [missed_table(study.scores)]
    return section


def _cost(study: Study, means: pd.DataFrame, figures: Path) -> Section:
    section = Section("cost", "Cost")
    costs = method_costs(study)
    if costs.empty:
        section.text = ["No cell tells what it took."]
        return section
    once = costs.drop_duplicates(["cell", "stage"])
    section.text = [f"All {once['cell'].nunique()} cells that are done took {duration(once['seconds'].sum())}."]
    section.tables = [cost_table(costs)]
    drawing = draw_cost(network_costs(study), means, study.methods)
    section.groups = [("", saved([drawing], figures))] if drawing else []
    return section


def _overlays(study: Study, compared: pd.DataFrame, figures: Path) -> Section:
    drawings, sentence = draw_study_overlays(study, compared)
    groups = [("", saved(drawings, figures))] if drawings else []
    return Section("overlays", "Largest gain and loss", [sentence], groups=groups)


def _pretraining(folder: Path, figures: Path) -> list[Section]:
    """What the pre-trainings recorded; bundles of others may record nothing."""
    top = folder / PRETRAINING
    sections = training_sections(find_runs(top), figures) if any(top.rglob("run_*.json")) else []
    for section in sections:
        section.title = f"Pre-training: {section.title[0].lower()}{section.title[1:]}"
    return sections


def _pooled(study: Study) -> Section:
    section = Section("pooled", "Scores as the papers computed them")
    if study.pooled is not None:
        section.text = [
            "These tables stand beside published ones and nothing else: they must not be mixed with the other scores "
            "of this page, which are means over patients."
        ]
        section.tables = pooled_tables(study.pooled)
    return section
