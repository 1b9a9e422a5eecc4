# SPDX-License-Identifier: Apache-2.0
"""Names are data in the report of a study, whatever they hold."""

import shutil
import warnings
from pathlib import Path
from xml.etree import ElementTree

import fabricated_study
import pandas as pd
import pytest
from figure_checks import check_room
from matplotlib.text import Text
from odd_names import ODD
from report_pages import Page

from monai_cl_ext.csv_files import write_table
from monai_cl_ext.names import visible, well_formed
from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.report.cost import draw_cost
from monai_cl_ext.study.report.critical_difference import draw_critical_difference
from monai_cl_ext.study.report.learning_curve import draw_learning_curve
from monai_cl_ext.study.report.page import write_study_report


def shown(drawing) -> list[str]:
    return [found.get_text() for found in drawing.figure.findobj(Text)]


def odd_study(folder: Path) -> tuple[Path, Plan, pd.DataFrame]:
    methods = {"$x": "scratch", "_hid|den*": "a", "[=1](y)": "b+c", "<b>--`": "d"}
    plan = fabricated_study.make_plan(folder, methods, labelled=(1,), patients=4)
    patients = dict(zip((f"p{number:03}" for number in range(4)), ("$p_1$", "=p|2", "_<p>\n3", "p4 日"), strict=True))
    for case in plan.splits[0]["test"]:
        case["patient"] = patients[case["patient"]]
    scores = fabricated_study.make_scores(plan)
    scores["class"] = scores["class"].map({"RV": "_R$V", "myocardium": "=1\n", "LV": "x" * 200})
    scores = scores[scores["metric"].isin(["dice", "hd95"])]
    root = fabricated_study.write_study(folder / "study $x_y <b>", plan, scores)
    shutil.rmtree(root / "pretrain")  # its pictures are those of runs
    write_table(root / "scores.csv", scores)
    pooled = scores.drop(columns=["volume", "patient", "missed"]).drop_duplicates(
        subset=["method", "labelled", "class"]
    )
    write_table(root / "paper_compat.csv", pooled)
    odd = [well_formed(name) for name in ODD]
    card = pd.DataFrame([[0, "test", *odd], [0, "train", *odd]], columns=["fold", "part", *odd])
    write_table(root / "data_card.csv", card)
    return root, plan, scores


@pytest.mark.slow
def test_a_study_shows_names_of_methods_patients_and_classes_as_they_are(tmp_path):
    root, plan, scores = odd_study(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        page = Page(write_study_report(root).read_text(encoding="utf-8"))
    methods, classes = list(plan.methods), list(dict.fromkeys(scores["class"]))
    tables = [table for table in page.tables if table[0] == ["method", "1 labeled"]]
    assert [row[0] for row in tables[0][1:]] == methods
    missed = next(table for table in page.tables if table[0][2:] == [visible(name) for name in classes])
    assert {row[0] for row in missed[1:]} == set(methods)
    card = next(table for table in page.tables if table[0][:2] == ["fold", "part"])
    assert card[0][2:] == card[1][2:] == [visible(well_formed(name)) for name in ODD]
    assert "Largest gain: " in page.text and "study $x_y <b>" in page.text
    for path in (root / "figures").glob("*.svg"):
        ElementTree.parse(path)
    dice = Comparison(scores, "dice", "$x")
    means = dice.summary
    costs = means.assign(seconds=[1.0, *(300.0 for _ in means.index[1:])])[["method", "labelled", "seconds"]]
    cost = draw_cost(costs, means, methods, "Dice")
    for drawing in (draw_learning_curve(dice), cost):
        assert set(methods) <= set(shown(drawing)), drawing.name
        check_room(drawing)
    ranks = draw_critical_difference(dice, 1)
    assert all(any(text.startswith(method) for text in shown(ranks)) for method in methods)
    ticks = [tick.get_text() for tick in cost.figure.axes[0].get_xticklabels()]
    assert "1" in ticks and not any("$" in tick for tick in ticks)  # a logarithmic axis, without math text
