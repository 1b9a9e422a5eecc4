# SPDX-License-Identifier: Apache-2.0
"""The tables of a study in Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.report.last_scores import TITLE, last_tables
from monai_cl_ext.study.report.markup import latex, latex_row, markdown
from monai_cl_ext.study.report.records import Study
from monai_cl_ext.study.report.tables import SELECTION, comparison_tables
from monai_cl_ext.visualize.table import Table


def as_markdown(study: Study) -> str:
    """The tables of all metrics, and those of the last checkpoint, in Markdown."""
    tables = [markdown_table(found, SELECTION, study.unit) for found in study.comparisons.values()]
    last = [f"## {markdown(TITLE)}\n", _as_markdown(last_tables(study))] if study.last else []
    return "\n".join([f"# {markdown(study.title)}\n", *tables, *last])


def as_latex(study: Study) -> str:
    """The same in LaTeX."""
    tables = [latex_table(found, SELECTION, study.unit) for found in study.comparisons.values()]
    return "\n".join([*tables, *([_as_latex(last_tables(study))] if study.last else [])])


def markdown_table(comparison: Comparison, selection: str = "", unit: str = "") -> str:
    """Means, differences from the reference, and what is to be known of their intervals, in Markdown.

    Args:
        comparison, selection, unit: see :func:`comparison_tables`.
    """
    return _as_markdown(comparison_tables(comparison, selection, unit))


def _as_markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        rows = [
            [f"**{markdown(text)}**" if (i, j) in table.best else markdown(text) for j, text in enumerate(row)]
            for i, row in enumerate(table.rows)
        ]
        lines = [table.head, ["---"] * len(table.head), *rows]
        parts += [markdown(table.note), "\n".join(f"| {' | '.join(line)} |" for line in lines)]
        parts += ["\n".join(f"- {markdown(remark)}" for remark in table.remarks)] if table.remarks else []
    return "\n\n".join(parts) + "\n"


def latex_table(comparison: Comparison, selection: str = "", unit: str = "") -> str:
    """The same in LaTeX, with the arguments of :func:`markdown_table`; needs the package booktabs."""
    return _as_latex(comparison_tables(comparison, selection, unit))


def _as_latex(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        cells = [[latex(text) for text in row] for row in table.rows]
        for i, j in table.best:
            cells[i][j] = rf"\textbf{{{cells[i][j]}}}"
        body = [latex_row(row) for row in [[latex(text) for text in table.head], *cells]]
        parts += [
            r"\begin{table}", r"\centering", rf"\caption{{{latex(table.note)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}", r"\toprule", body[0], r"\midrule", *body[1:],
            r"\bottomrule", r"\end{tabular}", *(rf"\par\footnotesize {latex(remark)}" for remark in table.remarks),
            r"\end{table}", "",
        ]  # fmt: skip
    return "\n".join(parts)
