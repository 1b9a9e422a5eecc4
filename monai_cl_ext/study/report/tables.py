# SPDX-License-Identifier: Apache-2.0
"""Means of a study's methods and their differences from a reference, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from monai_cl_ext.study.comparison import BEST, Comparison
from monai_cl_ext.study.report.records import Study
from monai_cl_ext.visualize.table import Table
from monai_cl_ext.visualize.wording import p_text

NOTHING = "–"
OF_TEST_SET = (
    " A score of all test patients of a fold together, macro over the classes; intervals and p from jackknife "
    "pseudo-values of patients, crossed with draws (Dorfman, Berbaum & Metz 1992)."
)
SELECTION = "models/model.pt as train.json writes it, chosen on validation patients"


def metric_tables(study: Study, metric: str) -> list[Table]:
    """The tables of :func:`comparison_tables` as the page has them.

    Args:
        study: that is reported on.
        metric: one of ``study.comparisons``.
    """
    return on_page(comparison_tables(study.comparisons[metric], SELECTION, study.unit))


def on_page(tables: Iterable[Table]) -> list[Table]:
    """Tables of methods and numbers of labeled patients with the head and the remarks that the page gives them."""
    return [
        replace(
            table,
            head=["method", *(f"{count} labeled" for count in table.head[1:])],
            remarks=[f"{remark[0].upper()}{remark[1:]}." for remark in table.remarks],
        )
        for table in tables
    ]


def comparison_tables(comparison: Comparison, selection: str = "", unit: str = "") -> list[Table]:
    """Means, and where there are some differences; a row for each method, a column for each number of labeled patients.

    The remarks of the last table are the warnings of all intervals, with the cells that they concern.

    Args:
        comparison: the methods in one metric.
        selection: how the scored weights were chosen, such as "the last epoch" or "best Dice of 8 validation patients".
        unit: of distances, such as "mm".

    Raises:
        ValueError: as ``Comparison.differences``.
    """
    metric, means, compared = comparison.metric, comparison.summary, comparison.differences
    sign = 1 if metric.higher_is_better else -1
    top = (sign * means["mean"]).groupby(means["labelled"]).transform("max")
    first = means.assign(
        text=[interval_text(row, f".{metric.digits}f") for row in means.itertuples()], best=sign * means["mean"] == top
    )
    second = compared.assign(
        text=[", ".join(filter(None, (interval_text(row, f"+.{metric.digits}f"), p_text(row.p_holm))))
              for row in compared.itertuples()],
        best=False,
    )  # fmt: skip
    title, name = metric.label(unit), comparison.reference
    name = "the best method of each column" if name == BEST else name
    caption = f"{title}, {'higher' if sign > 0 else 'lower'} is better. {_described(comparison, selection)}"
    tables = [cells_table(metric.title, first, caption)]
    if len(compared):
        caption = (
            f"Difference of {title} from {name}, method - reference, with its 95 % interval (not corrected); p: of the "
            f"same analysis, after Holm's correction over {compared.attrs['comparisons']} comparisons."
        )
        tables.append(cells_table(f"{metric.title}: difference from {name}", second, caption))
    tables[-1].remarks = [*interval_remarks(means, "mean"), *interval_remarks(compared, "difference")]
    return tables


def cells_table(title: str, cells: pd.DataFrame, caption: str) -> Table:
    """A row for each method, a column for each number of labeled patients.

    Args:
        title, caption: of the table.
        cells: columns method, labelled, text, best.
    """
    methods, counts = list(dict.fromkeys(cells["method"])), sorted(set(cells["labelled"]))
    text = [[name, *("" for _ in counts)] for name in methods]
    best = set()
    for row in cells.itertuples():
        place = methods.index(row.method), counts.index(row.labelled) + 1
        text[place[0]][place[1]] = row.text
        best |= {place} if row.best else set()
    return Table(title, ["labeled patients", *map(str, counts)], text, caption, best=best)


def _described(comparison: Comparison, selection: str) -> str:
    """How many patients, draws and seeds the means are over, and how often a structure was missed."""
    rows, means = comparison.rows, comparison.summary
    folds = rows["fold"].nunique()
    seeds = rows.groupby(["method", "labelled", "fold", "draw"])["seed"].nunique()
    sentences = [
        f"Mean over {_range(means['patients'])} test patients and {_range(means['draws'])}"
        f" {'draw' if means['draws'].max() == 1 else 'draws'} of labeled patients"
        + (f" in each of {folds} folds" if folds > 1 else "")
        + f", {_range(seeds)} {'seed' if seeds.max() == 1 else 'seeds'} a draw",
        "[95 % interval for other patients under other draws]"
        if means["draws"].max() > 1 or folds > 1
        else "[95 % interval for other patients under the same draw]",
    ]
    by_method = rows.groupby("method", sort=False)["missed"]
    counted = ", ".join(f"{name} {int(missed.sum())} of {len(missed)}" for name, missed in by_method)
    text = f"{' '.join(sentences)}. Best in bold."
    text += f" Scored weights: {selection}." if selection else ""
    if comparison.metric.of != "structure":
        return text + (OF_TEST_SET if comparison.metric.of == "test set" else "")
    return f"{text} Missed structures (reference or prediction empty, counted in the mean): {counted}."


def interval_remarks(cells: pd.DataFrame, kind: str) -> list[str]:
    """The warnings of intervals, with the cells that they concern."""
    warned = cells[cells["warning"] != ""]
    return [
        f"{kind} of {', '.join(f'{row.method} at {row.labelled}' for row in group.itertuples())}: {warning}"
        for warning, group in warned.groupby("warning", sort=False)
    ]


def interval_text(row: Any, form: str) -> str:
    """A mean and its interval: "0.812 [0.801, 0.823]"."""
    if pd.isna(row.mean):
        return NOTHING
    ends = NOTHING if pd.isna(row.low) else f"{row.low:{form}}, {row.high:{form}}"
    return f"{row.mean:{form}} [{ends}]"


def _range(values: Iterable[int]) -> str:
    """Whole numbers, told once where all are the same."""
    found = sorted(set(values))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
