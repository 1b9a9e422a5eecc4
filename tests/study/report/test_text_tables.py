# SPDX-License-Identifier: Apache-2.0
"""The tables say what the frames say, with what a reader must know of them."""

import itertools
import re

import numpy as np
import pandas as pd
from markdown_it import MarkdownIt
from odd_names import ODD

from monai_cl_ext.names import visible, well_formed
from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.report.markup import latex, latex_row, markdown
from monai_cl_ext.study.report.text_tables import latex_table, markdown_table

METHODS = ["scratch", "G^D", "gcl_x+r|s"]


def study(metric="dice", draws=3, folds=1, seeds=2, methods=METHODS):
    rng = np.random.default_rng(0)
    rows = []
    for labelled, draw, patient, (index, method) in itertools.product(
        (1, 8), range(draws), range(20), enumerate(methods)
    ):
        value = 0.6 + 0.1 * index + 0.02 * labelled + 0.02 * rng.standard_normal()
        for seed in range(seeds):
            missed = method == "scratch" and patient == 0 and seed == 0
            rows.append((method, labelled, patient % folds, draw, seed, f"v{patient}", f"p{patient}", "LV", metric))
            rows[-1] += (value, missed)
    columns = ["method", "labelled", "fold", "draw", "seed", "volume", "patient", "class", "metric", "value", "missed"]
    return pd.DataFrame(rows, columns=columns)


def cells(text):
    """Rows of the Markdown tables by their first cell, a list for each table."""
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    split = [[re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()] for table in tables]
    return [{row[0].strip(): [cell.strip() for cell in row[1:]] for row in table} for table in split]


def test_markdown_has_means_and_differences():
    scores = study()
    means, compared = cells(markdown_table(Comparison(scores, "dice", "scratch")))
    frame = Comparison(scores, "dice").summary.set_index(["method", "labelled"])
    row = frame.loc[("G^D", 8)]
    assert means["labeled patients"] == ["1", "8"]
    assert means["G^D"][1] == f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert all(cell.startswith("**0.") and cell.endswith("]**") for cell in means[r"gcl\_x+r\|s"])
    row = Comparison(scores, "dice", "scratch").differences.iloc[0]
    assert compared["G^D"][0] == f"{row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], p < 0.001"
    assert "scratch" not in compared


def test_of_distances_the_smallest_is_bold():
    means, _ = cells(markdown_table(Comparison(study("hd95"), "hd95", "scratch"), unit="mm"))
    assert all(cell.startswith("**") for cell in means["scratch"])
    assert "HD95 (mm), lower is better" in markdown_table(Comparison(study("hd95"), "hd95", "scratch"), unit="mm")


def test_the_caption_tells_what_the_numbers_are():
    text = markdown_table(Comparison(study(folds=4), "dice", "scratch"), selection="the last epoch")
    assert "20 test patients and 3 draws of labeled patients in each of 4 folds, 2 seeds a draw" in text
    assert "95 % interval for other patients under other draws" in text
    assert "Scored weights: the last epoch." in text
    assert "scratch 60 of 240, G^D 0 of 240" not in text and "scratch 6 of 240, G^D 0 of 240" in text
    assert "Holm's correction over 4 comparisons" in text


def test_one_draw_is_not_sold_as_more():
    text = markdown_table(Comparison(study(draws=1, seeds=1), "dice", "scratch"))
    assert "1 draw of labeled patients, 1 seed a draw" in text
    assert "for other patients under the same draw" in text
    assert "- mean of scratch at 1, G^D at 1" in text and "not for other draws" in text


def test_the_best_as_reference_is_named():
    text = markdown_table(Comparison(study(), "dice"))
    assert "from the best method of each column" in text and "over 6 comparisons" in text
    assert all(cell.startswith("-") for cell in cells(text)[1]["scratch"])


def test_missing_runs_leave_a_dash_and_a_note():
    scores = study()
    text = markdown_table(
        Comparison(scores[(scores["method"] != "scratch") | (scores["labelled"] != 8)], "dice", "scratch")
    )
    means, compared = cells(text)
    assert means["scratch"][1] == "" and compared["G^D"][1] == "–"
    assert "no draw and patient has a score" in text


def test_one_method_has_one_table():
    assert len(cells(markdown_table(Comparison(study(methods=["scratch"]), "dice", "scratch")))) == 1


def test_latex_is_whole_and_escaped():
    text = latex_table(Comparison(study(draws=1), "dice", "scratch"), selection="best of 8 & last_epoch")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\toprule") == 2
    assert r"\textbf{0." in text and r"G\textasciicircum{}D & " in text and r"gcl\_x+r\textbar{}s" in text
    assert r"best of 8 \& last\_epoch" in text and r"95 \% interval" in text and "p $<$ 0.001" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {2}
    assert text.count("{") == text.count("}")
    assert not re.findall(r"(?<!\\)[%#]", text)


NAMES = [well_formed(name) for name in ODD]
LATEX = {
    r"\textbackslash{}": "\\", r"\textasciicircum{}": "^", r"\textasciitilde{}": "~", r"\textbar{}": "|",
    r"\textasciigrave{}": "`", "$<$": "<", "$>$": ">", "{}": "",
    **{f"\\{character}": character for character in "&%$#_{}"},
}  # fmt: skip


def shown(text):
    """What a reader of Markdown sees: the texts in order, each run of them that stands together as one."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    found = ["".join(part.content for part in token.children) for token in tokens if token.type == "inline"]
    kinds = {part.type for token in tokens if token.type == "inline" for part in token.children}
    return found, kinds


def test_markdown_shows_every_name_as_it_is():
    lines = [f"# {markdown(name)} x" for name in NAMES]
    cells = [f"| {markdown(name)} | **x{markdown(name)}x** |" for name in NAMES]
    found, kinds = shown("\n".join([*lines, "", "| a | b |", "| --- | --- |", *cells]))
    assert found[: len(NAMES)] == [f"{visible(name)} x" for name in NAMES]
    assert found[len(NAMES) + 2 :: 2] == [visible(name) for name in NAMES]
    assert found[len(NAMES) + 3 :: 2] == [f"x{visible(name)}x" for name in NAMES]
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}


def test_latex_shows_every_name_as_it_is():
    for name in NAMES:
        text = latex(name)
        parts = re.findall("|".join(map(re.escape, LATEX)) + r"|[^\\&%$#_{}~^<>|`]", text)
        assert "".join(parts) == text, name  # nothing else that LaTeX reads as a command
        assert "".join(LATEX.get(part, part) for part in parts) == visible(name)
        assert not re.search(r"--|''|,,", text)
    for first in ("[", "*"):  # after a line's end they would be read as its argument
        assert latex_row([latex(f"{first}x"), "1"]) == f"{{}}{first}x & 1 \\\\"


def test_tables_of_odd_names_are_whole():
    methods = [*(name for name in NAMES if any(part in name for part in "|\n$[*_`")), "*"]
    scores = study(draws=2, seeds=1, methods=methods)
    found, _ = shown(markdown_table(Comparison(scores, "dice", methods[0])))
    assert all(visible(method) in found for method in methods)
    body = [line for line in latex_table(Comparison(scores, "dice", methods[0])).splitlines() if line.endswith(r"\\")]
    assert len(body) == 2 * len(methods) + 1
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {2}
