# SPDX-License-Identifier: Apache-2.0
"""The tables of a study: means, differences, labels needed, and the scores by a paper's own formulas."""

from __future__ import annotations

import pandas as pd

from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.comparison import BEST
from monai_cl_ext.study.markup import markdown
from monai_cl_ext.study.statistics import labels_to_match
from monai_cl_ext.study.tables import latex_table, markdown_table, study_grids
from monai_cl_ext.visualize.study_records import Study
from monai_cl_ext.visualize.tables import Table

SELECTION = "models/model.pt as train.json writes it, chosen on validation patients"


def metrics_of(study: Study) -> list[str]:
    """The metrics that the study's scores have."""
    return [metric for metric in METRICS if metric in set(study.scores["metric"])]


def metric_tables(study: Study, metric: str) -> list[Table]:
    """Means with their intervals, and differences from scratch where there is something to compare."""
    grids, notes = study_grids(study.scores, metric, study.reference, SELECTION, study.unit)
    name = "the best method of each column" if study.reference == BEST else study.reference
    title = METRICS[metric].title
    titles = (title, f"{title}: difference from {name}")
    tables = [
        Table(text, ["method", *(_patients(count) for count in grid.head[1:])], grid.rows, grid.caption, best=grid.best)
        for text, grid in zip(titles, grids, strict=False)
    ]
    tables[-1].remarks = [f"{note[0].upper()}{note[1:]}." for note in notes]
    return tables


def labels_table(study: Study, means: pd.DataFrame) -> Table | None:
    """Labeled patients that scratch would need for the mean Dice of each method; None without scratch or a curve.

    Args:
        study: whose scratch is meant.
        means: of Dice, see ``comparison.summary``.
    """
    curves = {
        str(method): dict(zip(rows["labelled"], rows["mean"], strict=True))
        for method, rows in means.dropna(subset="mean").groupby("method", sort=False)
    }
    reference = curves.pop(study.reference, {})
    if len(reference) < 2 or not curves:
        return None
    counts = sorted(set(means["labelled"]))
    rows = []
    for method, curve in curves.items():
        found = labels_to_match(reference, curve, METRICS["dice"].higher_is_better).set_index("labelled")
        cells = {
            count: row.note or f"{row.labels:.1f} (× {row.ratio:.2g})"
            for count, row in zip(found.index, found.itertuples(), strict=True)
        }
        rows.append([method, *(cells.get(count, "–") for count in counts)])
    return Table(
        f"Labeled patients that {study.reference} needs for the same mean Dice",
        ["method", *(_patients(count) for count in counts)],
        rows,
        f"Read from the curve of {study.reference}, linear in Dice over the logarithm of the number; in brackets over "
        "the number that the method had: above 1 it saves labels. > and <: outside the numbers that were tried. These "
        "are points on curves of means, without intervals.",
    )


def pooled_tables(pooled: pd.DataFrame) -> list[Table]:
    """Means over folds, draws and seeds of the scores that ``paper_compat_scores`` gives.

    Args:
        pooled: columns method, labeled, fold, draw, seed, class, metric, value.
    """
    tables = []
    classes = list(dict.fromkeys(pooled["class"]))
    for metric in dict.fromkeys(pooled["metric"]):
        found, known = pooled[pooled["metric"] == metric], METRICS[metric]
        rows = []
        for method in dict.fromkeys(found["method"]):
            for labelled, part in found[found["method"] == method].groupby("labelled"):
                means = part.groupby("class")["value"].mean().reindex(classes)
                values = [*means, means.mean()]
                cells = ["–" if pd.isna(value) else f"{value:.{known.digits}f}" for value in values]
                rows.append([str(method), str(labelled), *cells])
        way = (
            "In pixels, on each slice of the label's grid, means over slices; a slice on which the class is absent or "
            "was missed counts as 0, which is perfect."
            if known.unit == "distance"
            else "Of all voxels of all test volumes as if they were one image."
        )
        note = f"{way} Means over folds, draws and seeds. Not to be mixed with the other scores of this page."
        title = f"{known.title} as in the papers' code (PCL, SuperCL)"
        tables.append(Table(title, ["method", "labeled patients", *classes, "all classes"], rows, note))
    return tables


def as_markdown(study: Study) -> str:
    """The tables of all metrics in Markdown."""
    parts = [f"# {markdown(study.title)}\n"]
    parts += [markdown_table(study.scores, *_arguments(study, metric)) for metric in metrics_of(study)]
    return "\n".join(parts)


def as_latex(study: Study) -> str:
    """The same in LaTeX."""
    return "\n".join(latex_table(study.scores, *_arguments(study, metric)) for metric in metrics_of(study))


def _arguments(study: Study, metric: str) -> tuple[str, str, str, str]:
    return metric, study.reference, SELECTION, study.unit


def _patients(count: int | str) -> str:
    return f"{count} labeled"
