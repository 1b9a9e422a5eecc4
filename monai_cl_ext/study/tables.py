# SPDX-License-Identifier: Apache-2.0
"""A study as two tables, means and differences from a reference, in Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.comparison import BEST, differences, rows_of, summary
from monai_cl_ext.study.markup import latex, latex_row, markdown

NOTHING = "–"


@dataclass(frozen=True)
class Grid:
    """Cells of text, a row for each method and a column for each number of labeled patients.

    Attributes:
        caption: what the cells are.
        head: names of the columns.
        rows: each of the length of the head.
        best: (row, column) of the cells to stress.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]
    best: set[tuple[int, int]]


def markdown_table(
    scores: pd.DataFrame, metric: str = "dice", reference: str = "scratch", selection: str = "", unit: str = ""
) -> str:
    """The study in Markdown: means, differences from the reference, and what is to be known of their intervals.

    Args:
        scores: see :func:`comparison.rows_of`.
        metric: likewise.
        reference: see :func:`comparison.differences`.
        selection: how the scored weights were chosen, such as "the last epoch" or "best Dice of 8 validation patients".
        unit: of distances, such as "mm".

    Raises:
        ValueError: as :func:`comparison.differences`.
    """
    grids, notes = study_grids(scores, metric, reference, selection, unit)
    parts = []
    for grid in grids:
        rows = [
            [f"**{markdown(text)}**" if (i, j) in grid.best else markdown(text) for j, text in enumerate(row)]
            for i, row in enumerate(grid.rows)
        ]
        lines = [grid.head, ["---"] * len(grid.head), *rows]
        parts += [markdown(grid.caption), "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    parts += ["\n".join(f"- {markdown(note)}" for note in notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def latex_table(
    scores: pd.DataFrame, metric: str = "dice", reference: str = "scratch", selection: str = "", unit: str = ""
) -> str:
    """The study in LaTeX, with the same content and arguments as :func:`markdown_table`; needs the package booktabs."""
    grids, notes = study_grids(scores, metric, reference, selection, unit)
    parts = []
    for grid in grids:
        cells = [[latex(text) for text in row] for row in grid.rows]
        for i, j in grid.best:
            cells[i][j] = rf"\textbf{{{cells[i][j]}}}"
        body = [latex_row(row) for row in [[latex(text) for text in grid.head], *cells]]
        parts += [
            r"\begin{table}", r"\centering", rf"\caption{{{latex(grid.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.head) - 1)}}}", r"\toprule", body[0], r"\midrule", *body[1:],
            r"\bottomrule", r"\end{tabular}",
        ]  # fmt: skip
        if grid is grids[-1]:
            parts += [rf"\par\footnotesize {latex(note)}" for note in notes]
        parts += [r"\end{table}", ""]
    return "\n".join(parts)


def study_grids(
    scores: pd.DataFrame, metric: str, reference: str, selection: str, unit: str
) -> tuple[list[Grid], list[str]]:
    """Means and differences as cells of text, and the warnings with the cells that they concern."""
    means, compared = summary(scores, metric), differences(scores, metric, reference)
    known = METRICS[metric]
    digits, title, sign = known.digits, known.label(unit), 1 if known.higher_is_better else -1
    top = (sign * means["mean"]).groupby(means["labelled"]).transform("max")
    means["text"] = [_text(row, f".{digits}f") for row in means.itertuples()]
    means["best"] = sign * means["mean"] == top
    compared["text"] = [_text(row, f"+.{digits}f") + _p_value(row.p_holm) for row in compared.itertuples()]
    compared["best"] = False
    name = "the best method of each column" if reference == BEST else reference
    first = f"{title}, {'higher' if sign > 0 else 'lower'} is better. {_described(scores, metric, selection, means)}"
    second = (
        f"Difference of {title} from {name}, method - reference, with its 95 % interval (not corrected); p: of the same"
        f" analysis, after Holm's correction over {compared.attrs['comparisons']} comparisons."
    )
    grids = [_grid(means, first)] + ([_grid(compared, second)] if len(compared) else [])
    return grids, [*_notes(means, "mean"), *_notes(compared, "difference")]


def _grid(cells: pd.DataFrame, caption: str) -> Grid:
    methods, counts = list(dict.fromkeys(cells["method"])), sorted(set(cells["labelled"]))
    text = [[name, *("" for _ in counts)] for name in methods]
    best = set()
    for row in cells.itertuples():
        place = methods.index(row.method), counts.index(row.labelled) + 1
        text[place[0]][place[1]] = row.text
        best |= {place} if row.best else set()
    return Grid(caption, ["labeled patients", *map(str, counts)], text, best)


def _described(scores: pd.DataFrame, metric: str, selection: str, means: pd.DataFrame) -> str:
    rows = rows_of(scores, metric)
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
    return f"{text} Missed structures (reference or prediction empty, counted in the mean): {counted}."


def _notes(cells: pd.DataFrame, kind: str) -> list[str]:
    warned = cells[cells["warning"] != ""]
    return [
        f"{kind} of {', '.join(f'{row.method} at {row.labelled}' for row in group.itertuples())}: {warning}"
        for warning, group in warned.groupby("warning", sort=False)
    ]


def _text(row: Any, form: str) -> str:
    if pd.isna(row.mean):
        return NOTHING
    ends = NOTHING if pd.isna(row.low) else f"{row.low:{form}}, {row.high:{form}}"
    return f"{row.mean:{form}} [{ends}]"


def _p_value(value: Any) -> str:
    return "" if pd.isna(value) else ", p < 0.001" if value < 0.001 else f", p = {value:.3f}"


def _range(values: Iterable[int]) -> str:
    """Whole numbers, told once where all are the same."""
    found = sorted(set(values))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
