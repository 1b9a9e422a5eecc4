# SPDX-License-Identifier: Apache-2.0
"""The page of a study says what its scores say, and what it cannot say."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fabricated_study import THREE, make_plan, make_scores, write_study
from report_pages import Page

from monai_cl_ext.study.commands import StudyCommands
from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.report.label_savings import labels_table
from monai_cl_ext.study.report.last_scores import last_section
from monai_cl_ext.study.report.lead import findings, numbers, reservations
from monai_cl_ext.study.report.page import write_study_report
from monai_cl_ext.study.report.pooled import pooled_tables
from monai_cl_ext.study.report.records import read_study
from monai_cl_ext.study.report.reproducibility import split_tables
from monai_cl_ext.study.report.tables import metric_tables
from monai_cl_ext.study.report.text_tables import as_latex, as_markdown

PRETRAINING = ["batch", "embeddings"]
SECTIONS = ["curve", "tables", "last", "ranks", "classes", "cost", "overlays", *PRETRAINING, "pooled"]
SECTIONS += ["reproducibility"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of five draws with a gain that is found."""
    root = tmp_path_factory.mktemp("pages") / "study & more"
    plan = make_plan(root, draws=5, scratch_learning_rates=[0.001, 0.003])
    scores = make_scores(plan).query("metric in ('dice', 'jaccard', 'hd95')")
    write_study(root, plan, scores)
    pooled = scores[scores["metric"].isin(["dice", "hd95"])].drop(columns=["volume", "patient", "missed"])
    keys = ["method", "labelled", "fold", "draw", "seed", "class", "metric"]
    pooled.groupby(keys, sort=False)["value"].mean().reset_index().to_csv(root / "paper_compat.csv", index=False)
    return root


@pytest.fixture(scope="module")
def page(folder):
    StudyCommands().report(str(folder))
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def study_of(tmp_path, scores=None, **plan):
    made = make_plan(tmp_path, **plan)
    return read_study(write_study(tmp_path / "study", made, make_scores(made) if scores is None else scores(made)))


def lead_of(study):
    return " ".join(findings(study)), " ".join(numbers(study))


def table_with(page, *head):
    return next(table for table in page.tables if tuple(table[0][: len(head)]) == head)


def means_by_hand(folder, metric):
    """Over classes, volumes, seeds, then draws, then patients."""
    rows = pd.read_csv(folder / "scores.csv")
    rows = rows[rows["metric"] == metric]
    for keys in (["method", "labelled", "patient", "draw"], ["method", "labelled", "patient"], ["method", "labelled"]):
        rows = rows.groupby(keys)["value"].mean().reset_index()
    return rows.set_index(["method", "labelled"])["value"]


@pytest.mark.slow
def test_the_page_has_every_section_and_refers_to_nothing_outside(folder, page):
    assert page.sections == SECTIONS
    assert all(value.startswith(("data:image/", "#")) for value in page.references)
    images = [value for value in page.references if value.startswith("data:")]
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert len(images) == 1 + 2 + 4 + 1 + 2 + 10 == len(names) / 2 == len(set(names)) / 2
    assert {name.rpartition(".")[2] for name in names} == {"png", "svg"}
    text = (folder / "report.html").read_text()
    assert "@import" not in text and "url(" not in text and not re.search(r"https?://", text)


def test_tables_have_the_means_of_the_scores(folder, page):
    dice, hd95 = means_by_hand(folder, "dice"), means_by_hand(folder, "hd95")
    tables = [table for table in page.tables if table[0] == ["method", "1 labeled", "2 labeled"]]
    for table, means, digits in ((tables[0], dice, 3), (tables[3], hd95, 1)):
        assert [row[0] for row in table[1:]] == list(THREE)
        for method, *cells in table[1:]:
            assert [cell.split(" [")[0] for cell in cells] == [f"{means[method, count]:.{digits}f}" for count in (1, 2)]
    for method, *cells in tables[1][1:]:
        gains = [dice[method, count] - dice["scratch", count] for count in (1, 2)]
        assert [cell.split(" [")[0] for cell in cells] == [f"{gain:+.3f}" for gain in gains]
    text = (folder / "report.html").read_text()
    assert f'class="best">{dice["gr", 1]:.3f}' in text and f'class="best">{dice["gd", 1]:.3f}' not in text


def test_the_lead_tells_what_differs_and_how_far_that_holds(folder, page):
    text = " ".join(page.text.split())
    scores = pd.read_csv(folder / "scores.csv")
    compared = Comparison(scores, "dice", "scratch").differences
    assert (compared["p_holm"] < 0.05).all()
    assert (
        "Above scratch in mean Dice at the level of 5 % after Holm's correction over 4 comparisons: gd with 1 and 2; "
        in text
    )
    row = compared[(compared["method"] == "gr") & (compared["labelled"] == 2)].iloc[0]
    p_value = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    assert f"2 labeled patients: {row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], {p_value}." in text
    for said in ("study & more", "3 methods, 6 test patients, 5 draws of labeled patients, 1 seed a draw, 1 test set.",
                 "Scored weights: models/model.pt as train.json writes it, chosen on validation patients.",
                 "One pre-training of each method serves all its fine-tunings",
                 "Training from scratch among 0.001, 0.003; all others kept that of their bundle"):  # fmt: skip
        assert said in text, said
    assert "TRANSDUCTIVE" not in text and "lack scores" not in text


def test_cost_overlays_and_the_papers_scores_are_on_the_page(folder, page):
    text = " ".join(page.text.split())
    assert "All 32 cells that are done took 50 min 00 s." in text  # 30 fine-tunings of a minute, 2 pre-trainings of 10
    assert "Largest gain: " in text and "they do not show what is usual" in text
    assert "must not be mixed with the other scores" in text
    dice, hd95 = (table for table in page.tables if table[0][-1] == "all classes")
    pooled = pd.read_csv(folder / "paper_compat.csv").groupby(["method", "labelled", "metric", "class"])["value"].mean()
    for table, metric, digits in ((dice, "dice", 3), (hd95, "hd95", 1)):
        assert table[0][2:5] == ["RV", "myocardium", "LV"] and len(table) == 7
        row = next(row for row in table if row[:2] == ["gd", "2"])
        assert row[2:5] == [f"{pooled['gd', 2, metric, name]:.{digits}f}" for name in table[0][2:5]]


def test_the_page_tells_how_to_run_it_again(page):
    text = " ".join(page.text.split())
    for said in ("torch 2.13.0", "abc123", "9a53" * 16, "gr: gcl_segmentation+strategy_gr", '{"image_size": [32, 32]}',
                 '{"epochs": 3}', "0, 1, 2, 3, 4"):  # fmt: skip
        assert said in text, said
    assert table_with(page, "fold", "part")[1][:4] == ["fold 0", "test", "6", "6"]
    parts = dict(table_with(page, "part (patients)")[1:])
    assert parts["test (6)"] == ", ".join(f"p{number:03}_frame01" for number in range(6))
    draws = dict(table_with(page, "number and draw")[1:])
    assert len(draws) == 10
    for draw in range(5):  # draws are nested
        assert set(draws[f"1, draw {draw}"].split(", ")) < set(draws[f"2, draw {draw}"].split(", "))


def test_the_tables_lie_beside_the_page_in_markdown_and_latex(folder, page):
    markdown, latex = (folder / "table.md").read_text(), (folder / "table.tex").read_text()
    for metric, name, digits in (("dice", "Dice", 3), ("jaccard", "Jaccard", 3), ("hd95", "HD95 (mm)", 1)):
        means = means_by_hand(folder, metric)
        assert f"\n{name}, " in markdown
        row = next(line for line in markdown.partition(f"\n{name}, ")[2].splitlines() if line.startswith("| gr |"))
        assert f"**{means['gr', 1]:.{digits}f} [" in row
        assert f"{means['scratch', 2]:.{digits}f} [" in latex
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 6
    assert markdown.startswith("# study & more\n") and "| --- |" in markdown


def with_last(tmp_path, change=lambda table: table, **plan):
    """A study of five draws whose last checkpoints are change(of the best ones) and the table of these."""
    study = study_of(tmp_path, draws=5, **plan)
    last = change(pd.read_csv(study.folder / "scores.csv"))
    last.to_csv(study.folder / "scores_last.csv", index=False)
    return read_study(study.folder), last


def worse(table):
    """GD loses 0.05 in every class, GR wins 0.01, scratch stays."""
    return table.assign(value=table["value"] + table["method"].map({"scratch": 0.0, "gd": -0.05, "gr": 0.01}))


@pytest.mark.slow
def test_the_last_checkpoint_has_a_section_with_its_scores_and_the_difference(tmp_path):
    study, last = with_last(tmp_path, worse)
    page = Page(write_study_report(study.folder).read_text())
    assert "last" in page.sections
    text = " ".join(page.text.split())
    assert "the epoch that was best on the labels of 2 validation patients, which a user with few labels" in text
    assert "Fine-tunings without a scored last checkpoint" not in text
    summary = Comparison(last, "dice").summary.set_index(["method", "labelled"])["mean"]
    means, _, gains = last_section(study).tables
    assert [table.title for table in (means, gains)] == ["Dice, last checkpoint", "Dice: last - best checkpoint"]
    assert "Scored weights: models/model_final.pt, of the last epoch" in means.note
    for method, *cells in means.rows:
        assert [cell.split(" [")[0] for cell in cells] == [f"{summary[method, count]:.3f}" for count in (1, 2)]
    assert gains.rows == [  # differences that do not vary have no interval
        ["scratch", *["+0.000 [+0.000, +0.000]"] * 2], ["gd", *["-0.050 [–]"] * 2], ["gr", *["+0.010 [–]"] * 2],
    ]  # fmt: skip
    assert means.rows in [list(table[1:]) for table in page.tables]
    markdown, latex = ((study.folder / name).read_text() for name in ("table.md", "table.tex"))
    best, _, end = markdown.partition("## Last checkpoint")
    assert f"| gd | {means.rows[1][1]} |" in end and "| gd | -0.050 [–] |" in end
    assert "model_final" not in best and "-0.050 [–]" in latex


def test_only_volumes_with_both_scores_are_in_the_difference(tmp_path):
    study, _ = with_last(tmp_path, lambda table: worse(table[table["patient"] != "p003"]))
    assert set(study.last_gains["patients"]) == {5} and study.last_gains["mean"].round(9).isin([0, -0.05, 0.01]).all()


def test_methods_without_a_last_checkpoint_are_named(tmp_path):
    def some(table):
        lost = (table["method"] == "gr") & (table["draw"] == 3)
        return table[(table["method"] != "scratch") & ~lost]

    study, _ = with_last(tmp_path, some)
    text = " ".join(last_section(study).text)
    assert "without a scored last checkpoint: 10 of 10 of scratch, 2 of 10 of gr. Their training" in text
    assert study.last.reference == "best" and list(dict.fromkeys(study.last_gains["method"])) == ["gd", "gr"]


def test_a_study_without_last_scores_says_so_and_nothing_else(tmp_path):
    study = study_of(tmp_path)
    section = last_section(study)
    assert section.text[0].startswith("No training of this study has scores of its last") and not section.tables
    assert "Last checkpoint" not in as_markdown(study) and "model_final" not in as_latex(study)


def test_no_difference_is_said_to_be_none(tmp_path):
    lead, told = lead_of(study_of(tmp_path, lambda plan: make_scores(plan, gain=0.0)))
    assert (
        lead
        == "No method differs from scratch in mean Dice at the level of 5 % after Holm's correction over 4 comparisons."
    )
    assert told.startswith("The largest difference is that of g")


def test_what_is_below_scratch_is_said_to_be_below(tmp_path):
    lead, told = lead_of(study_of(tmp_path, lambda plan: make_scores(plan, gain=-0.08), draws=5))
    assert lead.startswith("Below scratch in mean Dice") and "Above" not in lead and "1 labeled patient: -0.0" in told


@pytest.mark.slow
def test_a_transductive_study_is_marked_in_title_lead_and_every_row(tmp_path):
    root = tmp_path / "study"
    plan = make_plan(tmp_path, labelled=(1,), draws=1, transductive=True)
    scores = make_scores(plan)
    scores = scores[scores["metric"].isin(["dice", "hd95"])]
    page = Page(write_study_report(write_study(root, plan, scores)).read_text())
    text = " ".join(page.text.split())
    assert "study · TRANSDUCTIVE" in text and "TRANSDUCTIVE: pre-training saw the images of validation and test" in text
    rows = [row for table in page.tables if table[0][0] == "method" for row in table[1:]]
    assert len(rows) > 15 and all("(TRANSDUCTIVE)" in row[0] for row in rows)
    methods = [row[1] for row in table_with(page, "argument")[1:] if row[0] == "method"]
    assert len(methods) == 3 and all("(TRANSDUCTIVE)" in method for method in methods)
    lines = [line for line in (root / "table.md").read_text().splitlines() if line.startswith("| ")]
    named = [line for line in lines if not line.startswith(("| labeled patients", "| ---"))]
    assert len(named) == 2 * (3 + 2) and all("(TRANSDUCTIVE)" in line for line in named)
    tabular = [line for line in (root / "table.tex").read_text().splitlines() if line.endswith(r"\\")]
    assert all("(TRANSDUCTIVE)" in line for line in tabular if not line.startswith("labeled patients"))
    assert "One draw: the intervals hold for other test patients" in text


def test_one_method_at_one_number_with_one_draw_makes_a_page(tmp_path):
    plan = make_plan(tmp_path, {"gcl": "gcl_segmentation"}, (4,), 1, patients=1)
    root = write_study(tmp_path / "study", plan, make_scores(plan))
    for name in ("environment.json", "data_card.csv"):
        (root / name).unlink()
    for path in [*root.glob("*/*/*/task.json"), *(tmp_path / "data").iterdir()]:
        path.unlink()
    page = Page(write_study_report(root).read_text())
    assert page.sections == [name for name in SECTIONS if name != "pooled"]
    text = " ".join(page.text.split())
    for said in ("Nothing can be compared: there are scores of gcl alone.", "No diagram of ranks",
                 "No cell tells what it took.", "No overlays: the study has no method to compare"):  # fmt: skip
        assert said in text, said


def test_a_draw_of_all_labeled_patients_is_planned_once(tmp_path):
    plan = replace(make_plan(tmp_path, labelled=(1, 2)), labelled=[1, 4])  # of four
    assert [plan.draws_of(0, labelled) for labelled in (1, 2, 4)] == [2, 2, 1]
    folder = write_study(tmp_path / "study", plan, make_scores(plan).query("labelled == 1 or draw == 0"))
    assert "lack scores" not in " ".join(reservations(read_study(folder)))


@pytest.mark.slow
def test_missing_cells_and_values_are_told_and_left_out(tmp_path):
    def scores(plan):
        table = make_scores(plan).query("metric == 'dice'")
        table.loc[(table["patient"] == "p003") & (table["method"] == "gd"), "value"] = np.nan
        lost = (table["method"] == "gr") & (table["labelled"] == 2) & (table["draw"] == 1)
        return table[~lost & ~((table["method"] == "scratch") & (table["labelled"] == 1))]

    study = study_of(tmp_path, scores)
    said = "Of 12 planned fine-tunings these lack scores: 2 of scratch with 1, 1 of gr with 2 labeled patients."
    assert said in " ".join(reservations(study))
    means, compared = metric_tables(study, "dice")
    rows = {row[0]: row[1:] for row in means.rows}
    assert rows["scratch"][0] == "" and rows["scratch"][1] and compared.rows[0][1].startswith("–")
    assert any("left out" in remark for remark in compared.remarks)
    text = " ".join(Page(write_study_report(study.folder).read_text()).text.split())
    assert said in text and "nan" not in text


def test_without_scratch_methods_are_compared_with_the_best(tmp_path):
    study = study_of(tmp_path, methods={name: bundle for name, bundle in THREE.items() if name != "scratch"}, draws=5)
    lead, _ = lead_of(study)
    assert study.reference == "best" and lead.startswith("No method was trained from scratch")
    assert "Below the best method in mean Dice" in lead
    assert labels_table(study.primary) is None


def test_labels_that_scratch_needs_are_read_from_its_curve(tmp_path):
    def scores(plan):
        table = make_scores(plan, gain=0.0, noise=0.0)
        level = {("scratch", 1): 0.4, ("scratch", 2): 0.5, ("scratch", 8): 0.7, ("gd", 1): 0.5, ("gd", 2): 0.6,
                 ("gd", 8): 0.8, ("gr", 1): 0.3, ("gr", 2): 0.5, ("gr", 8): 0.7}  # fmt: skip
        return table.assign(value=[level[key] for key in zip(table["method"], table["labelled"], strict=True)])

    study = study_of(tmp_path, scores, labelled=(1, 2, 8), draws=1)
    table = labels_table(study.primary)
    assert table.head == ["method", "1 labeled", "2 labeled", "8 labeled"]
    assert table.rows == [["gd", "2.0 (× 2)", "4.0 (× 2)", ">8"], ["gr", "<1", "2.0 (× 1)", "8.0 (× 1)"]]


def test_folds_have_tables_of_their_own(tmp_path):
    study = study_of(tmp_path, folds=2, draws=1)
    titles = [table.title for table in split_tables(study)]
    assert [title[-1] for title in titles] == ["0", "0", "1", "1"]
    said = " ".join(reservations(study))
    assert "2 test sets" in said and "method and test set serves" in said and "One draw" not in said


def test_names_that_look_like_nothing_stay_names(tmp_path):
    methods = {"scratch": "scratch", "None": "a", "NA": "b"}
    study = study_of(tmp_path, lambda plan: make_scores(plan).query("metric == 'dice'"), methods=methods, draws=1)
    assert list(dict.fromkeys(study.scores["method"])) == ["scratch", "None", "NA"]
    assert "| None |" in as_markdown(study) and "None &" in as_latex(study)


def test_pooled_scores_without_a_class_have_a_dash(folder):
    pooled = pd.read_csv(folder / "paper_compat.csv")
    rows = pooled_tables(pooled[~((pooled["class"] == "RV") & (pooled["method"] == "gd"))])[0].rows
    assert [row[2] for row in rows if row[0] == "gd"] == ["–", "–"] and rows[0][2] != "–"


@pytest.mark.parametrize(
    "name, content, message",
    [("plan.json", None, "plan.json does not exist"), ("plan.json", "{}", "is no plan, or one of another version"),
     ("scores.csv", "\n", "scores.csv holds no scores"), ("scores.csv", None, "scores.csv holds no scores"),
     ("scores_last.csv", "method,value\nother,1\n", "scores_last.csv is not a table of this study's scores"),
     ("scores.csv", "method,value\nother,1\n", "lacks the columns .*volume.* names the methods .'other'"),
     ("task.json", "{", "task.json is not the description of a cell")],
)  # fmt: skip
def test_a_folder_that_is_no_study_is_named(name, content, message, tmp_path):
    plan = make_plan(tmp_path, {"scratch": "scratch"}, (1,), 1, patients=1)
    root = write_study(tmp_path / "study", plan, make_scores(plan))
    (path,) = root.rglob(name) if name == "task.json" else [root / name]
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        write_study_report(root)


def test_the_plan_of_the_page_is_that_of_the_folder(folder):
    assert json.loads((folder / "plan.json").read_text())["draws"] == read_study(folder).plan.draws == 5
