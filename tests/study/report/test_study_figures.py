# SPDX-License-Identifier: Apache-2.0
"""Figures of a study show its scores, whatever is missing."""

import json
import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from fabricated_study import THREE, make_plan, make_scores, write_cell, write_study
from figure_checks import check_names, check_room
from matplotlib.colors import to_rgb
from scipy.stats import rankdata

from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.report.cost import draw_cost
from monai_cl_ext.study.report.cost_records import cost_table, method_costs, network_costs
from monai_cl_ext.study.report.critical_difference import draw_critical_difference, not_told_apart
from monai_cl_ext.study.report.learning_curve import draw_learning_curve
from monai_cl_ext.study.report.overlays import draw_extremes, largest
from monai_cl_ext.study.report.records import read_study
from monai_cl_ext.study.report.scores import draw_class_scores, missed_table
from monai_cl_ext.study.task import Kind, Run, Task
from monai_cl_ext.visualize.drawing import look, wrap
from monai_cl_ext.visualize.overlays import label_color

LONG = {"scratch": "scratch"} | {f"gcl_segmentation+strategy_gr+no_local+mixup_{i}": f"b+{i}" for i in range(11)}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("studies") / "study"
    plan = make_plan(root)
    return read_study(write_study(root, plan, make_scores(plan)))


def curve_of(scores):
    return draw_learning_curve(Comparison(scores, "dice", "scratch"))


def rank_drawing(scores, labelled=1):
    return draw_critical_difference(Comparison(scores, "dice"), labelled)


@pytest.mark.slow
@pytest.mark.parametrize("methods, labelled, draws, patients", [(LONG, (1, 2, 8), 1, 3), (THREE, (4,), 1, 2)])
def test_every_figure_has_names_and_room_for_them(methods, labelled, draws, patients, tmp_path):
    plan = make_plan(tmp_path, methods, labelled, draws, patients=patients)
    scores = make_scores(plan)
    study = read_study(write_study(tmp_path / "study", plan, scores))
    drawings = [
        curve_of(scores), rank_drawing(scores, labelled[0]),
        draw_cost(network_costs(study), Comparison(scores, "dice").summary, study.methods, "Dice"),
        draw_class_scores(Comparison(scores, "dice"), labelled[0], "mm"),
        draw_class_scores(Comparison(scores, "hd95"), labelled[0], "voxels"),
        *draw_extremes(study)[0],
    ]  # fmt: skip
    assert len({drawing.name for drawing in drawings}) == len(drawings) == 7
    for drawing in drawings:
        check_names(drawing)
        check_room(drawing)


def test_long_names_are_wrapped_where_they_have_parts():
    assert wrap("gcl_segmentation+strategy_gr+no_local", 18) == "gcl_segmentation+\nstrategy_gr+no_\nlocal"
    assert wrap("x" * 7, 3) == "xxx\nxxx\nx" and wrap("short", 18) == "short" and wrap("$a\n", 9) == r"$a\n"
    assert len({look(number) for number in range(32)}) == 32


def test_the_learning_curve_shows_means_and_intervals(study):
    figure = curve_of(study.scores).figure
    means, compared = Comparison(study.scores, "dice").summary, Comparison(study.scores, "dice", "scratch").differences
    for axes, table, methods in ((figure.axes[0], means, list(THREE)), (figure.axes[1], compared, list(THREE)[1:])):
        assert axes.get_xscale() == "log" and axes.xaxis.get_transform().base == 2
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]
        assert len(axes.containers) == len(methods)
        for container, method in zip(axes.containers, methods, strict=True):
            rows = table[table["method"] == method].sort_values("labelled")
            line, _, (bars,) = container.lines
            assert line.get_ydata() == pytest.approx(rows["mean"].to_numpy())
            assert np.abs(np.log2(line.get_xdata()) - [0, 1]).max() < 0.25
            ends = np.array(bars.get_segments())[:, :, 1]
            assert ends == pytest.approx(rows[["low", "high"]].to_numpy())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(THREE)


def test_full_markers_are_the_differences_that_were_found(tmp_path):
    scores = make_scores(make_plan(tmp_path, draws=5), gain=0.02)
    compared = Comparison(scores, "dice", "scratch").differences
    found = set(np.round(compared.loc[compared["p_holm"] < 0.05, "mean"], 9))
    other = set(np.round(compared.loc[compared["p_holm"] >= 0.05, "mean"], 9))
    assert found and other
    shown = {True: set(), False: set()}
    for line in curve_of(scores).figure.axes[1].lines:
        if line.get_marker() != "None":
            shown[line.get_markerfacecolor() != "white"] |= set(np.round(line.get_ydata(), 9))
    assert shown == {True: found, False: other}


def test_a_learning_curve_has_gaps_where_cells_are_missing(study):
    scores = study.scores[~((study.scores["method"] == "gd") & (study.scores["labelled"] == 2))]
    container = curve_of(scores).figure.axes[0].containers[1]
    assert np.isnan(container.lines[0].get_ydata()).tolist() == [False, True]
    alone = scores[scores["method"] == "gd"]
    drawing = draw_learning_curve(Comparison(alone, "dice", "best"))
    assert len(drawing.figure.axes) == 1 and "Below" not in drawing.caption


def test_a_method_keeps_its_color_where_another_is_missing(study):
    scores = study.scores[~((study.scores["method"] == "scratch") & (study.scores["labelled"] == 1))]
    dots = draw_class_scores(Comparison(scores, "dice"), 1, "mm").figure.axes[0].collections
    lines = curve_of(scores).figure.axes[0].containers
    for number in (1, 2):
        color = to_rgb(look(number)[0])
        assert to_rgb(lines[number].lines[0].get_color()) == color
        assert color in [tuple(found.get_edgecolor()[0][:3]) for found in dots]
    assert to_rgb(look(0)[0]) not in [tuple(found.get_edgecolor()[0][:3]) for found in dots]


def test_bars_join_the_largest_groups_within_the_critical_difference():
    assert not_told_apart([1.0, 2.0, 2.5, 4.0], 1.6) == [(1.0, 2.5), (2.5, 4.0)]
    assert not_told_apart([1.0, 2.0, 3.0], 5.0) == [(1.0, 3.0)] and not_told_apart([1.0, 3.0], 1.0) == []


def test_the_diagram_has_the_ranks_of_the_patients_means(study):
    rows = study.scores[(study.scores["metric"] == "dice") & (study.scores["labelled"] == 2)]
    by_class = rows.groupby(["method", "patient", "draw"])["value"].mean()
    wide = by_class.groupby(["patient", "method"]).mean().unstack()
    expected = dict(zip(wide, rankdata(-wide.to_numpy(), axis=1).mean(0), strict=True))
    drawing = rank_drawing(study.scores, 2)
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert {text for text in texts if "critical" not in text} == {
        f"{name} {rank:.2f}" for name, rank in expected.items()
    }
    critical = 3.314 / np.sqrt(2) * np.sqrt(3 * 4 / (6 * 6))  # the 5 % point of the studentised range for 3 methods
    assert f"critical difference {critical:.2f}" in texts
    assert "6 patients" in drawing.caption and "draws of labeled patients as fixed" in drawing.caption


def test_no_diagram_of_two_methods_one_patient_or_what_is_missing(study):
    scores = study.scores
    assert rank_drawing(scores[scores["method"] != "gd"]) is None
    assert rank_drawing(scores[scores["patient"] == "p001"]) is None
    lacking = scores[~((scores["method"] == "gd") & (scores["patient"] == "p001"))]
    assert "5 patients" in rank_drawing(lacking).caption
    alike = scores.assign(value=0.5)
    assert "no p" in rank_drawing(alike).caption


def test_dots_are_the_patients_of_each_class(study):
    drawing = draw_class_scores(study.comparisons["hd95"], 2, "mm")
    rows = study.scores[(study.scores["metric"] == "hd95") & (study.scores["labelled"] == 2)]
    means = rows.groupby(["method", "class", "patient"])["value"].mean().dropna()
    assert len(means) == 3 * 3 * 6 - 3  # the first patient lacks the class RV
    axes = drawing.figure.axes[0]
    dots = sorted(x for found in axes.collections for x, _ in found.get_offsets().tolist())
    assert dots == pytest.approx(sorted(means))
    hollow = [found for found in axes.collections if len(found.get_facecolor()) == 0]
    (place,) = (x for found in hollow for x, _ in found.get_offsets().tolist())
    assert place == pytest.approx(means["scratch", "RV", "p005"])
    assert "Hollow" in drawing.caption and "6 test patients" in drawing.caption


def test_misses_are_counted_over_draws(study):
    table = missed_table(study.primary.rows)
    assert table.head == ["method", "labeled patients", "RV", "myocardium", "LV"]
    assert table.rows[:3] == [["scratch", "1", "1 of 12", "0 of 12", "0 of 12"],
                              ["scratch", "2", "1 of 12", "0 of 12", "0 of 12"],
                              ["gd", "1", "0 of 12", "0 of 12", "0 of 12"]]  # fmt: skip


def test_cost_is_that_of_a_network_with_all_that_it_needs(study):
    costs = network_costs(study).set_index(["method", "labelled"])["seconds"]
    assert costs.to_dict() == {(method, labelled): 60.0 if method == "scratch" else 660.0
                               for method in THREE for labelled in (1, 2)}  # fmt: skip
    drawing = draw_cost(network_costs(study), Comparison(study.scores, "dice").summary, study.methods, "Dice")
    axes = drawing.figure.axes[0]
    assert "minutes" in axes.get_xlabel()
    means = Comparison(study.scores, "dice").summary.set_index(["method", "labelled"])["mean"]
    for dots, method in zip(axes.collections, THREE, strict=True):
        expected = [(costs[method, count] / 60, means[method, count]) for count in (1, 2)]
        assert np.asarray(dots.get_offsets()) == pytest.approx(np.array(expected))
        assert dots.get_sizes()[0] < dots.get_sizes()[1]


def test_the_inference_of_the_last_checkpoint_is_a_stage_and_no_cost_of_a_network(tmp_path):
    plan = make_plan(tmp_path, {"scratch": "scratch"}, (1,), 1)
    root = write_study(tmp_path / "study", plan, make_scores(plan))
    (own,) = root.glob("finetune/*/*")
    task = Task.read(own / "task.json")
    write_cell(
        root,
        replace(task, runs=[*task.runs, Run(["inference"], name="inference_last")]),
        {"train": 50.0, "inference": 10.0},
        2,
    )
    (own / "inference_last.done").write_text("7.0\n")
    study = read_study(root)
    assert network_costs(study)["seconds"].tolist() == [60.0]
    assert [row[1:4] for row in cost_table(method_costs(study)).rows][2] == ["inference_last", "1", "7.0 s"]


def test_the_cost_table_has_speed_memory_and_waiting(study):
    rows = cost_table(method_costs(study)).rows
    assert rows[0] == ["scratch", "train", "4", "50.0 s", "3 min 20 s", "20", "2.00 GiB", "25%"]
    assert rows[1] == ["scratch", "inference", "4", "10.0 s", "40.0 s", "–", "–", "–"]
    assert rows[2] == ["gd", "pretrain_global", "1", "10 min 00 s", "10 min 00 s", "40", "4.00 GiB", "25%"]


def test_costs_without_records_of_resumed_stages_and_of_choices(tmp_path):
    plan = make_plan(tmp_path, {"scratch": "scratch"}, (1,), 1)
    root = write_study(tmp_path / "study", plan, make_scores(plan))
    (own,) = root.glob("finetune/*/*")
    (own / "eval" / "run_train.json").unlink()
    facts = {"method": "scratch", "labelled": 1, "fold": 0, "draw": 0, "seed": 0, "learning_rate": 0.1}
    name = "choice/scratch/labelled_1_learning_rate_0.1_fold_0"
    choice = Task(name, "b", [], [Run(["train"])], [], facts, kind=Kind.CHOICE)
    write_cell(root, choice, {"train": 7.0}, 1)
    record = root / choice.name / "eval" / "run_train.json"
    record.write_text(json.dumps({"seconds": 100.0}))
    task = json.loads((own / "task.json").read_text())
    (own / "task.json").write_text(json.dumps({**task, "needs": [choice.name, "choice/scratch/not_there"]}))
    study = read_study(root)
    assert network_costs(study)["seconds"].tolist() == [160.0]
    rows = cost_table(method_costs(study)).rows
    assert rows[0] == ["scratch", "train, to choose learning_rate", "1", "1 min 40 s", "1 min 40 s", "–", "–", "–"]
    assert rows[1] == ["scratch", "train", "1", "50.0 s", "50.0 s", "–", "–", "–"]
    record.write_text("{")
    with pytest.raises(ValueError, match=r"run_train.json is not the record of a run"):
        network_costs(read_study(root))


def test_no_cost_where_nothing_tells_it(study):
    assert draw_cost(network_costs(replace(study, cells={})), study.primary.summary, study.methods, "Dice") is None


def test_overlays_are_the_largest_gain_and_loss(study):
    rows = study.scores[(study.scores["metric"] == "dice") & (study.scores["labelled"] == 1)]
    wide = rows.groupby(["draw", "patient", "method"])["value"].mean().unstack()
    gains = wide["gr"] - wide["scratch"]
    means = gains.groupby("patient").mean()
    first, second = largest(study, "gr", 1)
    assert (first.kind, first.patient, second.kind, second.patient) == (
        "largest gain", means.idxmax(), "smallest gain", means.idxmin())  # fmt: skip
    assert first.gain == pytest.approx(means.max())
    assert first.gain_of_draw == pytest.approx(gains[first.draw, first.patient])
    drawings, sentence = draw_extremes(study)
    assert [drawing.name for drawing in drawings] == ["overlay_largest_gain", "overlay_smallest_gain"]
    assert "gr with 1 labeled patient" in sentence and f"{means.mean():+.3f}" in sentence
    image, reference, scratch, best = drawings[0].figure.axes
    assert [axes.get_title() for axes in (image, reference, scratch, best)] == ["image", "reference", "scratch", "gr"]
    assert len(image.images) == 1
    painted = [np.asarray(axes.images[1].get_array()) for axes in (reference, scratch, best)]
    moved = [np.roll(painted[0], shift, axis=1) for shift in (3, 1)]  # as the predictions were made
    inside = slice(4, -4)
    for found, expected in zip(painted[1:], moved, strict=True):
        np.testing.assert_allclose(found[:, inside], expected[:, inside])
    assert {tuple(color) for color in painted[0][painted[0][..., 3] > 0][:, :3].astype(float).round(3).tolist()} == {
        tuple(np.round(to_rgb(label_color(label)), 3).tolist()) for label in (1, 2, 3)
    }


def test_a_label_whose_axes_run_the_other_way_is_drawn_where_it_lies(tmp_path):
    plan = make_plan(tmp_path, labelled=(1,), draws=1)
    study = read_study(write_study(tmp_path / "study", plan, make_scores(plan)))
    before = [np.asarray(axes.images[1].get_array()) for axes in draw_extremes(study)[0][0].figure.axes[1:]]
    for path in (tmp_path / "data").glob("p*_label.nii.gz"):
        label = nib.load(path)
        turned = nib.as_closest_canonical(label).as_reoriented(np.array([[0, -1], [1, -1], [2, -1]]))
        assert not np.array_equal(turned.dataobj, label.dataobj)
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    after = [np.asarray(axes.images[1].get_array()) for axes in draw_extremes(study)[0][0].figure.axes[1:]]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_is_called_a_loss_and_equal_patients_are_drawn_once(study):
    worse = study.scores.assign(method=study.scores["method"].replace({"gr": "scratch", "scratch": "gr"}))
    assert [found.kind for found in largest(replace(study, scores=worse), "gr", 1)] == ["smallest loss", "largest loss"]
    alike = study.scores.assign(value=0.5)
    assert [found.kind for found in largest(replace(study, scores=alike), "gr", 1)] == ["largest gain"]


def test_overlays_are_left_out_where_files_are_absent(tmp_path):
    plan = make_plan(tmp_path, labelled=(1,), draws=1)
    root = write_study(tmp_path / "study", plan, make_scores(plan))
    study = read_study(root)
    for path in (tmp_path / "data").glob("p*_frame01.nii.gz"):
        path.unlink()
    drawings, sentence = draw_extremes(study)
    assert drawings == [] and re.match(r"No overlays: .*_frame01.nii.gz", sentence), sentence
    without = replace(study, cells={})
    assert "no cell of scratch" in draw_extremes(without)[1]
    nothing = draw_extremes(replace(study, reference="best"))
    assert nothing[0] == [] and "no method to compare" in nothing[1]
