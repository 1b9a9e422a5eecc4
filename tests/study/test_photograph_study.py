# SPDX-License-Identifier: Apache-2.0
"""A study of photographs from its command to its report."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from launcher import here
from PIL import Image
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from monai_cl_ext import csv_files
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import collect_scores, write_tables
from monai_cl_ext.study.commands import StudyCommands, keep_plan
from monai_cl_ext.study.comparison import Comparison
from monai_cl_ext.study.leaks import LeakError
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.planning import make_plan
from monai_cl_ext.study.scheduler import run_cells
from monai_cl_ext.study.scores import read_scores
from monai_cl_ext.study.task import Kind

ROOT = Path(__file__).parents[2]
CLASSES = ["falling", "level", "rising"]
SMALL = {
    "image_size": 16, "patch_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_layers": 2, "num_heads": 2,
    "picture_size": 20, "batch_size": 4,
}  # fmt: skip
SHORT = {"epochs": 1, "batches_per_epoch": 2}
PRETRAIN = {**SHORT, "out_dim": 16, "head_width": 12, "bottleneck": 8, "local_size": 8, "local_crops": 1}
METHODS = {"scratch": "scratch", "DINO weak": "dino_classification+policy_weak"}


def write_pictures(folder: Path, patients: int = 24) -> Path:
    """Stripes of a direction for each class; each patient has two photographs, and labels.csv tells whose they are."""
    folder.mkdir(parents=True)
    generator, rows = np.random.default_rng(0), ["image,label,patient"]
    row, column = np.mgrid[:20, :23]
    for number in range(2 * patients):
        name = CLASSES[number // 2 % 3]
        gray = 0.5 + 0.4 * np.sin(0.9 * (row + (1 - CLASSES.index(name)) * column) + generator.uniform(0, 6))
        color = gray[..., None] * [1.0, 0.7, 0.5] + 0.05 * generator.standard_normal((20, 23, 3))
        Image.fromarray((color.clip(0, 1) * 255).astype(np.uint8)).save(folder / f"eye_{number}.png")
        rows.append(f"eye_{number}.png,{name},p{number // 2:02}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "eyes")


def arguments(pictures: Path, **others) -> dict:
    return {
        "dataset_dir": str(pictures), "methods": METHODS, "labelled": [3], "draws": 2, "scratch_learning_rates": [],
        "validation": 6, "test": 9, "settings": SMALL, "pretrain_settings": PRETRAIN,
        "train_settings": {**SHORT, "network_def#blocks": 2}, "split_seed": 1, **others,
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(pictures, tmp_path_factory):
    """Plan, cells and folder of a study that has run in this process; scratch chooses its learning rate."""
    root = tmp_path_factory.mktemp("study") / "eyes"
    plan = keep_plan(root, arguments(pictures, scratch_learning_rates=[0.001, 0.1]))
    cells = tasks(plan, root)
    run_cells(cells, root, here, 1)
    return plan, cells, root


def test_a_plan_of_photographs_keeps_patients_together_and_survives_its_file(study, pictures):
    plan, _, root = study
    assert plan.problem == "classification" and plan.classes == dict(enumerate(CLASSES, start=1))
    assert plan.settings["num_classes"] == 3 and Plan.read(root / "plan.json") == plan
    places = {part: {case["patient"] for case in cases} for part, cases in plan.splits[0].items()}
    assert [len(places[part]) for part in ("train", "validation", "test")] == [9, 6, 9]
    assert all(len(cases) == 2 * len(places[part]) for part, cases in plan.splits[0].items())
    card = pd.read_csv(root / "data_card.csv").set_index("part")
    assert card.loc["test", "photographs"] == 18 and card.loc["test", "size"] == "23 x 20"
    assert card.loc["pretrain", [f"photographs of {name}" for name in CLASSES]].sum() == 18


def test_every_method_is_trained_on_the_same_patients_and_never_on_those_of_a_test(study):
    plan, cells, _ = study
    tested = {case["image"] for case in plan.splits[0]["test"]}
    drawn = {}
    for task in cells:
        text = json.dumps([run.data for run in task.runs if run.stage != "inference"])
        assert not any(image in text for image in tested)
        if task.kind == Kind.FINETUNE:
            labelled = task.runs[0].data["labelled"]
            assert {case["patient"] for case in labelled} == drawn.setdefault(
                task.facts["draw"], {case["patient"] for case in labelled}
            )
            assert all(case["class"] == CLASSES.index(case["label"]) for case in labelled)
    assert len(drawn) == 2 and drawn[0] != drawn[1]


@pytest.mark.parametrize(("predictions", "table"), [("eval/inference", "scores.csv"), ("eval_last", "scores_last.csv")])
def test_the_scores_of_each_cell_are_those_of_its_predictions(study, predictions, table):
    plan, cells, root = study
    label = {case["image"]: case["label"] for case in plan.splits[0]["test"]}
    patient = {case["image"]: case["patient"] for case in plan.splits[0]["test"]}
    finals = [task for task in cells if task.kind == Kind.FINETUNE]
    assert len(finals) == 4
    for task in finals:
        found = csv_files.read_table(root / task.name / predictions / "predictions.csv")
        assert len(list((root / task.name).rglob("predictions.csv"))) == 2
        true = np.array([CLASSES.index(label[image]) for image in found["image"]])
        values = found[CLASSES].to_numpy()
        scores = read_scores(root / task.name / table)
        means = {metric: part.groupby("patient")["value"].mean().mean() for metric, part in scores.groupby("metric")}
        each = pd.DataFrame({
            "patient": found["image"].map(patient), "accuracy": values.argmax(1) == true,
            "brier": ((values - np.eye(3)[true]) ** 2).sum(1),
        }).groupby("patient").mean().mean()  # fmt: skip
        assert means["auroc"] == pytest.approx(roc_auc_score(np.eye(3)[true], values, average="macro"))
        assert means["aupr"] == pytest.approx(average_precision_score(np.eye(3)[true], values, average="macro"))
        assert means["accuracy"] == pytest.approx(accuracy_score(true, values.argmax(1)))  # all have two photographs
        assert means["accuracy"] == pytest.approx(each["accuracy"]) and means["brier"] == pytest.approx(each["brier"])
        counts = scores.groupby("metric").size().to_dict()
        assert counts == {"auroc": 27, "aupr": 27, "accuracy": 18, "brier": 18} and not scores["missed"].any()


def test_the_learning_rate_of_the_best_validation_auroc_is_taken(study):
    _, cells, root = study
    means = {}
    for task in cells:
        if task.kind == Kind.CHOICE:
            scores = read_scores(root / task.name / "scores.csv")
            means[task.facts["learning_rate"]] = scores[scores["metric"] == "auroc"]["value"].mean()
    taken = json.loads((root / "finetune/scratch/labelled_3_draw_0_seed_0_fold_0/train.json").read_text())
    assert len(means) == 2 and taken["learning_rate"] == max(means, key=means.__getitem__)


def test_the_report_leads_with_auroc_and_leaves_out_what_means_nothing(study):
    _, cells, root = study
    write_tables(cells, root)
    assert not (root / "paper_compat.csv").exists()
    scores = collect_scores(cells, root)
    comparison = Comparison(scores, "auroc", "scratch")
    assert set(comparison.summary["draws"]) == {2} and set(comparison.summary["patients"]) == {9}
    StudyCommands().report(str(root))
    page = (root / "report.html").read_text(encoding="utf-8")
    for text in ("AUROC over labeled patients", "jackknife pseudo-values", "AUROC per class", "No diagram of ranks",
                 "AUROC: last - best checkpoint"):  # fmt: skip
        assert text in page
    for text in ("Dice", "Missed structures", "Largest gain and loss", "tolerance", "volumes with"):
        assert text not in page
    assert (root / "figures" / "learning_curve.svg").is_file() and "Brier score" in (root / "table.md").read_text()


def test_the_script_scores_the_nearest_neighbors_of_each_network(study, tmp_path, monkeypatch):
    _, cells, root = study
    monkeypatch.setattr("sys.argv", ["dino_study.py", str(root), "--output", str(tmp_path / "found")])
    runpy.run_path(str(ROOT / "benchmarks" / "dino_study.py"), run_name="__main__")
    scores = read_scores(tmp_path / "found" / "scores.csv")
    finals = [task for task in cells if task.kind == Kind.FINETUNE]
    for task in finals:
        facts = {name: task.facts[name] for name in ("method", "draw")}
        own = scores[(scores[list(facts)] == list(facts.values())).all(axis=1)]
        metrics = csv_files.read_table(tmp_path / "found" / task.name / "eval" / "metrics.csv", dtype={"class": str})
        told = metrics[(metrics["classifier"] == "nearest_neighbors") & (metrics["class"] == "all")]
        for score, value in zip(told["score"], told["value"].astype(float), strict=True):
            assert own[own["metric"] == score]["value"].mean() == pytest.approx(value), score
    assert len(finals) == 4 and len(scores) == 4 * 90
    assert "AUROC" in (tmp_path / "found" / "table.md").read_text()


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ({"test": 3}, "the test patients are too few for AUROC: found .* at least 2 with and 2 without each class"),
        ({"validation": 1}, "the validation patients are too few for AUROC"),
        ({"tolerance": 1.0}, "a study of classification has no argument 'tolerance'"),
        ({"train_settings": {"class_names": ["a"]}}, "'class_names' is set by the study itself"),
        ({"methods": ["dino_classification", "gcl_segmentation"]}, "predict different things; make a study of each"),
    ],
)
def test_a_wrong_plan_of_photographs_is_refused(pictures, others, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_plan(**arguments(pictures, **others))


def test_one_photograph_under_two_patients_is_found_in_another_format(tmp_path):
    folder = write_pictures(tmp_path / "eyes")
    plan = make_plan(**arguments(folder))
    one, other = (plan.splits[0][part][0] for part in ("train", "test"))
    Image.open(one["image"]).save(other["image"], format="BMP")
    lists = {
        part: sorted({case["patient"] for case in plan.splits[0][part]}) for part in ("train", "validation", "test")
    }
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    with pytest.raises(LeakError, match=f"{one['patient']}.*have the same image"):
        make_plan(**arguments(folder, splits=str(tmp_path / "lists.json")))


def test_another_pretraining_has_another_seed_and_nothing_else_has(pictures, tmp_path):
    plan = make_plan(**arguments(pictures, pretrain_settings={**PRETRAIN, "seed": 3}))
    seeds = {task.kind: task.runs[0].settings["seed"] for task in tasks(plan, tmp_path)}
    assert seeds == {Kind.PRETRAIN: 3, Kind.FINETUNE: 0}
    with pytest.raises(ValueError, match="settings: 'seed' is set by the study itself"):
        make_plan(**arguments(pictures, train_settings={"seed": 3}))


def test_folds_test_every_patient_once(pictures, tmp_path):
    plan = make_plan(**arguments(pictures, folds=2, validation=9, labelled=[2]))
    tested = [case["patient"] for split in plan.splits for case in split["test"]]
    assert len(tested) == 48 and len(set(tested)) == 24


def test_a_label_of_a_plan_that_is_no_class_is_named(study, tmp_path):
    plan, _, root = study
    content = json.loads((root / "plan.json").read_text())
    content["splits"][0]["train"][0]["label"] = "sideways"
    for name in ("environment.json", "data_card.csv"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has the label 'sideways', expected one of falling, level, rising"):
        keep_plan(tmp_path, {})
