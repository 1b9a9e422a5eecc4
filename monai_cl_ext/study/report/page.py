# SPDX-License-Identifier: Apache-2.0
"""The report page of a study: one HTML file, its tables as Markdown and LaTeX, its figures as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

from monai_cl_ext.files import write_text
from monai_cl_ext.study.report.cost import draw_cost
from monai_cl_ext.study.report.cost_records import cost_table, method_costs, network_costs
from monai_cl_ext.study.report.critical_difference import draw_critical_difference
from monai_cl_ext.study.report.label_savings import labels_table
from monai_cl_ext.study.report.last_scores import last_section
from monai_cl_ext.study.report.lead import findings, numbers, reservations
from monai_cl_ext.study.report.learning_curve import draw_learning_curve
from monai_cl_ext.study.report.overlays import draw_extremes
from monai_cl_ext.study.report.pooled import pooled_tables
from monai_cl_ext.study.report.records import Study, read_study
from monai_cl_ext.study.report.reproducibility import card_tables, split_tables
from monai_cl_ext.study.report.scores import class_table, draw_class_scores, missed_table
from monai_cl_ext.study.report.tables import metric_tables
from monai_cl_ext.study.report.text_tables import as_latex, as_markdown
from monai_cl_ext.visualize.page import Section, saved, write_page
from monai_cl_ext.visualize.records import find_runs
from monai_cl_ext.visualize.training_sections import training_sections
from monai_cl_ext.visualize.wording import duration

PRETRAINING = "pretrain"
"""Folder of its cells."""


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
    study = read_study(Path(folder))
    figures = study.folder / "figures"
    sections = [
        _curve(study, figures),
        _tables(study),
        last_section(study),
        _ranks(study, figures),
        _classes(study, figures),
        _cost(study, figures),
        _overlays(study, figures),
        *_pretraining(study.folder, figures),
        _pooled(study),
        Section("reproducibility", "Reproducibility", tables=card_tables(study), folded=split_tables(study)),
    ]
    shown = [part for part in sections if part.text or part.tables or part.groups]
    write_text(study.folder / "table.md", as_markdown(study))
    write_text(study.folder / "table.tex", as_latex(study))
    page = study.folder / "report.html"
    return write_page(page, "study", study.title, findings(study), shown, [*numbers(study), *reservations(study)])


def _curve(study: Study, figures: Path) -> Section:
    return Section("curve", "Learning curve", groups=[("", saved([draw_learning_curve(study.primary)], figures))])


def _tables(study: Study) -> Section:
    section = Section("tables", "Scores", ["The same tables are in table.md and table.tex."])
    for metric in study.comparisons:
        tables = metric_tables(study, metric)
        if metric in study.problem.shown:
            section.tables += tables
        else:
            section.folded += tables
        if metric == study.problem.primary and (labels := labels_table(study.primary)):
            section.tables.append(labels)
    return section


def _ranks(study: Study, figures: Path) -> Section:
    if study.primary.metric.of == "test set":
        text = f"No diagram of ranks: methods have no rank in a patient by {study.primary.metric.title}."
        return Section("ranks", "Ranks", [text])
    counts = sorted(set(study.primary.patient_table["labelled"]))
    drawn = [draw_critical_difference(study.primary, labelled) for labelled in counts]
    drawings = [drawing for drawing in drawn if drawing is not None]
    section = Section("ranks", "Ranks", groups=[("", saved(drawings, figures))] if drawings else [])
    if not drawings:
        section.text = ["No diagram of ranks: it takes three methods and two patients with scores of all."]
    return section


def _classes(study: Study, figures: Path) -> Section:
    section = Section("classes", "Scores per class")
    if not study.problem.maps:
        classes = list(study.plan.classes.values())
        section.tables = [class_table(study.comparisons[metric], classes) for metric in study.problem.shown]
        return section
    for metric, comparison in study.comparisons.items():
        if metric in study.problem.shown:
            counts = sorted(set(comparison.rows["labelled"]))
            drawings = [draw_class_scores(comparison, labelled, study.unit) for labelled in counts]
            section.groups.append((comparison.metric.title, saved(drawings, figures)))
    section.folded = [missed_table(study.primary.rows)]
    return section


def _cost(study: Study, figures: Path) -> Section:
    section = Section("cost", "Cost")
    costs = method_costs(study)
    if costs.empty:
        section.text = ["No cell tells what it took."]
        return section
    once = costs.drop_duplicates(["cell", "stage"])
    section.text = [f"All {once['cell'].nunique()} cells that are done took {duration(once['seconds'].sum())}."]
    section.tables = [cost_table(costs)]
    drawing = draw_cost(network_costs(study), study.primary.summary, study.methods, study.primary.metric.title)
    section.groups = [("", saved([drawing], figures))] if drawing else []
    return section


def _overlays(study: Study, figures: Path) -> Section:
    if not study.problem.maps:
        return Section("overlays", "Largest gain and loss")
    drawings, sentence = draw_extremes(study)
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
