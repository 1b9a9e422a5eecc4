# SPDX-License-Identifier: Apache-2.0
"""A report computes each statistic once, and study and visualize do not know each other."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from fabricated_study import make_plan, make_scores, write_study

from monai_cl_ext.study import comparison
from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.report.page import write_study_report

PACKAGE = Path(comparison.__file__).parents[1]
METRICS = ["dice", "jaccard", "hd95", "asd", "surface_dice"]


@pytest.mark.slow
@pytest.mark.parametrize("scratch", [True, False])
def test_page_markdown_latex_and_figures_compute_each_statistic_once(scratch, tmp_path, monkeypatch):
    methods = {"a": "scratch" if scratch else "gcl_segmentation", "b": "pcl_segmentation", "c": "wcl_segmentation"}
    plan = make_plan(tmp_path, methods)
    root = write_study(tmp_path / "study", plan, make_scores(plan))
    for path in (root / "pretrain").rglob("*.pt"):
        path.unlink()  # pictures of pre-training take time and hold no statistic of scores
    calls, tables = Counter(), Counter()
    for name in ("rows_of", "patient_table", "crossed_interval", "permutation_p_value"):
        monkeypatch.setattr(comparison, name, counted(name, getattr(comparison, name), calls))
    for name in ("summary", "differences"):
        found = getattr(Comparison, name)
        monkeypatch.setattr(found, "func", counted_by_metric(name, found.func, tables))
    write_study_report(root)
    assert tables == {(name, metric): 1 for name in ("summary", "differences") for metric in METRICS}
    assert calls["rows_of"] == calls["patient_table"] == len(METRICS)
    pairs = 2 if scratch else 3  # with the best as the reference all pairs are tested
    assert calls["permutation_p_value"] == len(METRICS) * len(plan.labelled) * pairs
    assert calls["crossed_interval"] == len(METRICS) * len(plan.labelled) * (pairs + len(methods))


def counted(name, function, calls):
    def call(*args, **kwargs):
        calls[name] += 1
        return function(*args, **kwargs)

    return call


def counted_by_metric(name, function, calls):
    def call(self):
        calls[name, self.metric.name] += 1
        return function(self)

    return call


def imports(path):
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom | ast.Import)]
    return {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes}


def test_visualize_knows_no_study_and_of_a_study_only_its_report_knows_visualize():
    drawing = {name for path in (PACKAGE / "visualize").rglob("*.py") for name in imports(path)}
    assert "monai_cl_ext.names" in drawing and not [name for name in drawing if name.startswith("monai_cl_ext.study")]
    for path in (PACKAGE / "study").rglob("*.py"):
        if "report" not in path.relative_to(PACKAGE).parts:
            assert not [name for name in imports(path) if name.startswith("monai_cl_ext.visualize")], path
