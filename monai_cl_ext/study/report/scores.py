# SPDX-License-Identifier: Apache-2.0
"""Scores of a study for each class, a dot for each patient; and the structures that were missed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from monai_cl_ext.study.comparison import Comparison, patient_table
from monai_cl_ext.visualize.drawing import Drawing, styled
from monai_cl_ext.visualize.records import Record
from monai_cl_ext.visualize.scores import draw_dots
from monai_cl_ext.visualize.table import Table
from monai_cl_ext.visualize.wording import counted


@styled
def draw_class_scores(comparison: Comparison, labelled: int, unit: str) -> Drawing:
    """Classes down, scores across, at one number of labeled patients.

    Args:
        comparison: the methods in Dice or HD95.
        labelled: the number.
        unit: of distances.
    """
    metric, chosen = comparison.metric, comparison.rows[comparison.rows["labelled"] == labelled]
    rows: dict[str, list[Record]] = {str(method): [] for method in comparison.methods}  # keeps colors
    figure, hollow = draw_dots(rows | class_rows(chosen), metric.name, unit)
    patients = chosen["patient"].nunique()
    caption = (
        f"A dot for each of {counted(patients, 'test patient')}: the mean over volumes, seeds and draws; line and "
        "number: the mean over patients."
    )
    if hollow:
        caption += " Hollow: in one of these at least prediction or reference is empty" + (
            ", where HD95 is the diagonal of the volume." if metric.unit == "distance" else "."
        )
    title = f"{metric.title} per class, {counted(labelled, 'labeled patient')}"
    return Drawing(f"scores_{metric.name}_labelled_{labelled}", title, caption, figure)


def class_rows(scores: pd.DataFrame) -> dict[str, list[Record]]:
    """A row for each class and patient of each method: "class", "patient", the metric, and how often it was missed.

    Args:
        scores: of one metric at one number of labeled patients, see ``comparison.rows_of``.
    """
    metric, tables = str(scores["metric"].iloc[0]), []
    for label in dict.fromkeys(scores["class"]):
        chosen = scores[scores["class"] == label]
        missed = chosen.groupby(["method", "patient"])["missed"].sum()
        means = patient_table(chosen).groupby(["method", "patient"])["value"].mean()
        tables.append(pd.DataFrame({metric: means, "missed": missed}).reset_index().assign(**{"class": label}))
    rows = pd.concat(tables)
    return {
        str(method): [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]
        for method in dict.fromkeys(scores["method"])
        if len(part := rows[rows["method"] == method])
    }


def missed_table(rows: pd.DataFrame) -> Table:
    """How often the prediction or the reference of a structure was empty, of the volumes of all draws and seeds.

    Args:
        rows: of Dice, see ``comparison.rows_of``.
    """
    classes = list(dict.fromkeys(rows["class"]))
    lines = []
    for method in dict.fromkeys(rows["method"]):
        for labelled, part in rows[rows["method"] == method].groupby("labelled"):
            cells = [part[part["class"] == label] for label in classes]
            lines.append(
                [str(method), str(labelled), *(f"{int(found['missed'].sum())} of {len(found)}" for found in cells)]
            )
    return Table(
        "Missed structures",
        ["method", "labeled patients", *classes],
        lines,
        "Volumes in which the prediction or the reference of a class is empty and the other is not, of all draws and "
        "seeds. Their scores count in all means: Dice 0, HD95 the diagonal of the volume.",
    )


def class_table(comparison: Comparison, classes: Sequence[str]) -> Table:
    """Mean of each class, which a macro score is the mean of; of photographs with this class where each has a score.

    Args:
        comparison: the methods in a metric.
        classes: their names in order.
    """
    metric, rows = comparison.metric, comparison.rows
    lines = []
    for method in dict.fromkeys(rows["method"]):
        for labelled, part in rows[rows["method"] == method].groupby("labelled"):
            found = [patient_table(part[part["class"] == label])["value"] for label in classes]
            lines.append([str(method), str(labelled), *(f"{values.mean():.{metric.digits}f}" for values in found)])
    whose = "one class against the others" if metric.of == "test set" else "photographs of this class alone"
    note = f"{metric.title} of {whose}: mean over test patients, draws and seeds, without intervals."
    return Table(f"{metric.title} per class", ["method", "labeled patients", *classes], lines, note)
