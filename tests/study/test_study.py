# SPDX-License-Identifier: Apache-2.0
"""A study from its command to its scores: what is shared, what goes on after a kill, what is refused."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from launcher import here
from plain_bundle import write_plain_bundle

from monai_cl_ext.data import write_phantom
from monai_cl_ext.files import write_text
from monai_cl_ext.slurm import NODE_STORE
from monai_cl_ext.study.bundles import find_bundle
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import collect_scores, write_tables
from monai_cl_ext.study.commands import StudyCommands, keep_plan
from monai_cl_ext.study.launchers import local_launcher, slurm_launcher
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.study.planning import make_plan
from monai_cl_ext.study.probe import expected_seconds
from monai_cl_ext.study.report.cost_records import stage_costs
from monai_cl_ext.study.reused_training import reuse_training
from monai_cl_ext.study.scheduler import StudyFailed, alone, run_cells
from monai_cl_ext.study.scores import read_scores
from monai_cl_ext.study.task import Kind, Run, Task, choose, is_done, run_task, write_task

SMALL = {"image_size": [32, 32], "pixdim": [5.0, 5.0], "network_def#features": [4, 8, 8, 8, 8, 4]}
SHORT = {"epochs": 1, "batches_per_epoch": 2}
METRICS = 5
CLASSES = 3


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("data") / "phantom", patients=8, seed=0)


def arguments(phantom: Path, **others) -> dict:
    return {
        "dataset_dir": str(phantom), "methods": ["scratch", "gcl_segmentation"], "labelled": [1], "draws": 1,
        "scratch_learning_rates": [],
        "validation": 2, "test": 2, "settings": SMALL, "pretrain_settings": SHORT, "train_settings": SHORT, **others,
    }  # fmt: skip


def test_the_grid_shares_a_pretraining_and_gives_every_method_the_same_patients(phantom, tmp_path):
    methods = ["scratch", "gcl_segmentation", "gcl_segmentation+no_local", "gcl_segmentation+strategy_gr"]
    plan = make_plan(**arguments(phantom, methods=methods, labelled=[2, 1], draws=2, seeds=2))
    cells = tasks(plan, tmp_path)
    names = [task.name for task in cells]
    assert [name for name in names if name.startswith("pretrain")] == [
        "pretrain/gcl_segmentation/pretrain_global_fold_0",
        "pretrain/gcl_segmentation/pretrain_local_fold_0",
        "pretrain/gcl_segmentation+strategy_gr/pretrain_global_fold_0",
        "pretrain/gcl_segmentation+strategy_gr/pretrain_local_fold_0",
    ]
    finetuning = [task for task in cells if task.name.startswith("finetune")]
    assert len(finetuning) == 4 * 2 * 2 * 2 and len(set(names)) == len(names)
    drawn = {}
    for task in finetuning:
        key = tuple(task.facts[name] for name in ("labelled", "draw"))
        patients = [case["patient"] for case in task.runs[0].data["labelled"]]
        assert len(patients) == task.facts["labelled"] and drawn.setdefault(key, patients) == patients
    assert drawn[2, 0] != drawn[2, 1] and set(drawn[1, 0]) < set(drawn[2, 0])


def test_methods_may_differ_by_a_value_of_their_pretraining_alone(phantom, tmp_path):
    methods = {"whole": "gcl_segmentation", "half": "gcl_segmentation", "half again": "gcl_segmentation"}
    own = {"half": {"strength": 0.5}, "half again": {"strength": 0.5}}
    plan = make_plan(**arguments(phantom, methods=methods, method_settings=own))
    cells = {task.name: task for task in tasks(plan, tmp_path)}
    first, weaker = (f"pretrain/gcl_segmentation{of}/pretrain_global_fold_0" for of in ("", "+strength=0.5"))
    assert [name for name in cells if "pretrain_global" in name] == [first, weaker]
    assert "strength" not in cells[first].runs[0].settings and cells[weaker].runs[0].settings["strength"] == 0.5
    needs = {method: cells[f"finetune/{method}/labelled_1_draw_0_seed_0_fold_0"].needs[0] for method in methods}
    assert needs["half"] == needs["half again"] != needs["whole"]
    assert all(cells[cells[need].needs[0]].name in (first, weaker) for need in needs.values())


def test_every_fold_pretrains_without_its_test_patients(phantom, tmp_path):
    cells = tasks(make_plan(**arguments(phantom, folds=4, validation=1)), tmp_path)
    for task in cells:
        if task.name.startswith("finetune/gcl"):
            tested = {case["patient"] for case in task.scored}
            pretraining = next(cell for cell in cells if cell.name == task.needs[0])
            seen = {case["patient"] for case in pretraining.runs[0].data["split"]["pretrain"]}
            assert tested and not tested & seen


def test_a_plan_survives_its_file(phantom, tmp_path):
    plan = make_plan(**arguments(phantom))
    write_text(tmp_path / "plan.json", plan.to_json())
    assert Plan.read(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ({"settings": {"image_sise": [32, 32]}}, "settings: no config of gcl_segmentation .* has 'image_sise'"),
        ({"train_settings": {"local_strategy": "ld"}}, "train_settings: no config .*'local_strategy'"),
        ({"methods": ["scratch"]}, "'scratch' needs a bundle"),
        ({"methods": "[]"}, "methods must be"),
        (
            {"methods": ["scratch", "gcl_segmentation+network_gcl"], "settings": {}},
            "'scratch' and .* different network_def",
        ),
        ({"methods": ["gcl_segmentation", "gcl_segmentation"]}, "two methods have the name"),
        ({"settings": {"seed": 7}}, "settings: 'seed' is set by the study itself"),
        ({"validation": 0}, "there is no validation patient"),
        ({"draws": 0}, "draws must be"),
        ({"transductive": "no"}, "transductive must be True or False, found 'no'"),
        ({"folds": 2, "splits": "x"}, "splits and folds both"),
        ({"labelled": [7]}, "expected at least 7 patient"),
        ({"method_settings": {"scratch": {"strength": 0.5}}}, "method_settings: scratch has no pre-training"),
        (
            {"method_settings": {"gcl_segmentation": {"strenght": 0.5}}},
            "method_settings: gcl_segmentation: no config .* has 'strenght'",
        ),
        ({"method_settings": {"gcl_segmentation": {"seed": 1}}}, "'seed' is set by the study itself"),
        ({"method_settings": {"gcl": {"strength": 0.5}}}, "no method is 'gcl'; expected one of scratch, gcl_seg"),
        ({"stage_settings": {"pretrain": {"epochs": 5}}}, "no method pre-trains by 'pretrain'; expected one of pretr"),
        (
            {"stage_settings": {"pretrain_local": {"partitons": 5}}},
            r"stage_settings: pretrain_local: no config of gcl_segmentation \(pretrain_local\) has 'partitons'",
        ),
        (
            {"train_settings": {**SHORT, "learning_rate": 0.01}, "scratch_learning_rates": [0.1]},
            r"train_settings: learning_rate is given, but scratch chooses among \[0.1\]; leave it out, or give --scr",
        ),
        ({"train_settings": [1]}, "train_settings: expected values by name"),
        ({"methods": {"a": "gcl_segmentation > scratch"}}, "a: expected BUNDLE, or BUNDLE > BUNDLE"),
        ({"methods": {"a": "gcl_segmentation > pcl_segmentation > x"}}, "a: expected BUNDLE, or BUNDLE > BUNDLE"),
    ],
)
def test_a_wrong_plan_is_refused(phantom, tmp_path, others, sentence):
    with pytest.raises(ValueError, match=sentence):
        tasks(make_plan(**arguments(phantom, **others)), tmp_path)


def test_a_method_may_pretrain_by_one_bundle_and_train_by_another(phantom, tmp_path):
    methods = {
        "scratch": "scratch", "PCL": "pcl_segmentation", "PCL > WCL": "pcl_segmentation  >  wcl_segmentation",
        "weak > mixup": "pcl_segmentation+policy_weak > gcl_segmentation+mixup",
        "named": "scratch > wcl_segmentation+self_training",
    }  # fmt: skip
    plan = make_plan(**arguments(phantom, methods=methods, scratch_learning_rates=[0.1]))
    cells = {task.name: task for task in tasks(plan, tmp_path)}
    pretraining = [task.name for task in cells.values() if task.kind == Kind.PRETRAIN]
    assert pretraining == [f"pretrain/pcl_segmentation{overlay}/pretrain_fold_0" for overlay in ("", "+policy_weak")]
    finals = {task.facts["method"]: task for task in cells.values() if task.kind == Kind.FINETUNE}
    needs = {method: [need for need in task.needs if need in pretraining] for method, task in finals.items()}
    assert needs == {
        "scratch": [], "named": [], "PCL": pretraining[:1], "PCL > WCL": pretraining[:1],
        "weak > mixup": pretraining[1:],
    }  # fmt: skip
    trained = {method: (Path(task.bundle).name, task.overlays) for method, task in finals.items()}
    assert trained["PCL > WCL"] == ("wcl_segmentation", []) and trained["weak > mixup"] == (
        "gcl_segmentation",
        ["mixup"],
    )
    assert trained["named"] == ("wcl_segmentation", ["self_training"]) and trained["scratch"][0] == "pcl_segmentation"
    assert {task.facts["method"] for task in cells.values() if task.kind == Kind.CHOICE} == {"scratch", "named"}
    assert plan.recipes["PCL > WCL"].name == "pcl_segmentation > wcl_segmentation"


def test_semi_supervised_bundles_are_compared_with_others_from_the_same_starts(phantom, tmp_path):
    names = "mean_teacher", "cps", "bcp", "unimatch", "caussl", "dtc", "sassnet", "self_training"
    others = [f"{name}_segmentation" for name in names]
    methods = {name: name for name in ("scratch", "pcl_segmentation", "supervised_segmentation")}
    methods |= {start + name: start + name for name in others for start in ("scratch > ", "pcl_segmentation > ")}
    cells = tasks(make_plan(**arguments(phantom, methods=methods)), tmp_path)
    finals = {task.facts["method"]: task.runs[0] for task in cells if task.kind == Kind.FINETUNE}
    assert list(finals) == list(methods) and sum(task.kind == Kind.PRETRAIN for task in cells) == 1
    assert len({json.dumps(run.data["labelled"]) for run in finals.values()}) == 1
    for method, run in finals.items():
        assert bool(run.data.get("pretrained")) == method.startswith("pcl"), method
        assert len(run.data["split"]["pretrain"]) > len(run.data["labelled"]) and not run.data["split"]["test"]
    with pytest.raises(ValueError, match="different optimizer"):
        folder = tmp_path / "bcp_segmentation"
        shutil.copytree(find_bundle("bcp_segmentation").folder, folder)
        config = folder / "configs" / "train.json"
        config.write_text(config.read_text().replace("torch.optim.Adam", "torch.optim.AdamW"))
        make_plan(**arguments(phantom, methods=["pcl_segmentation", str(folder)]))


def test_a_training_of_several_stages_is_one_cell(phantom, tmp_path):
    bundle = "learned_augmentation_segmentation"
    arranged = arguments(phantom, methods={bundle: bundle, "after": f"pcl_segmentation > {bundle}"})
    cells = tasks(make_plan(**arranged), tmp_path)
    finals = {task.facts["method"]: task for task in cells if task.kind == Kind.FINETUNE}
    stages = ["train_deformation", "train_intensity", "train"]
    for method, cell in finals.items():
        assert [run.stage for run in cell.runs[:4]] == [*stages, "inference"]
        first, *others = cell.runs[:3]
        assert all(run.settings == first.settings and run.data == first.data for run in others)
        assert first.data["labelled"] and not first.data["split"]["test"]
        assert bool(first.data.get("pretrained")) == (method == "after")


def test_planning_reads_each_config_once(phantom, tmp_path, monkeypatch):
    read: list[str] = []
    plain = Path.read_text

    def counted(path: Path, *arguments, **options) -> str:
        if path.parent.name == "configs":
            read.append(str(path))
        return plain(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", counted)
    methods = ["scratch", "gcl_segmentation", "gcl_segmentation+no_local", "pcl_segmentation", "wcl_segmentation"]
    others = {"draws": 12, "seeds": 2, "labelled": [1, 2], "scratch_learning_rates": [0.1, 0.2]}
    cells = tasks(make_plan(**arguments(phantom, methods=methods, **others)), tmp_path)
    assert len(cells) > 200 and len(read) == len(set(read)) > 10


def test_methods_as_a_command_line_gives_them(phantom):
    named = make_plan(**arguments(phantom, methods="{start: scratch, G^R: gcl_segmentation+strategy_gr}")).methods
    assert named == {"start": "scratch", "G^R": "gcl_segmentation+strategy_gr"}
    assert make_plan(**arguments(phantom, methods="[scratch, gcl_segmentation+no_local]")).methods == {
        "scratch": "scratch",
        "gcl_segmentation+no_local": "gcl_segmentation+no_local",
    }


def test_a_bundle_that_has_changed_is_refused(phantom, tmp_path):
    bundle = write_plain_bundle(tmp_path)
    others = {"settings": {}, "pretrain_settings": {}, "train_settings": {}}
    keep_plan(tmp_path / "study", arguments(phantom, methods=[str(bundle)], **others))
    path = bundle / "configs" / "train.json"
    path.write_text(path.read_text().replace("0.01", "0.02"))
    with pytest.raises(ValueError, match=r"the configs or scripts of .*plain are not those .* restore them"):
        keep_plan(tmp_path / "study", {})


def test_a_plain_folder_and_a_pattern_for_its_patients(phantom):
    others = {"label_dir": str(phantom / "labelsTr"), "classes": ["RV", "myocardium", "LV"], "validation": 1, "test": 1}
    plan = make_plan(**arguments(phantom / "imagesTr", patient_pattern=r"patient00(\d)", **others))
    assert {case["patient"] for part in plan.splits[0].values() for case in part} == set("12345678")


def test_one_value_is_a_list_of_one(phantom):
    plan = make_plan(**arguments(phantom, labelled=2, classes="RV, myocardium, LV", scratch_learning_rates=0.001))
    assert plan.labelled == [2] and plan.classes == {1: "RV", 2: "myocardium", 3: "LV"}
    assert plan.scratch_learning_rates == [0.001] and plan.settings["num_classes"] == 4


def test_two_bundles_of_one_name_are_refused(phantom, tmp_path):
    paths = {place: str(write_plain_bundle(tmp_path / place)) for place in ("one", "other")}
    with pytest.raises(ValueError, match="two bundles have the same name"):
        make_plan(**arguments(phantom, methods=paths, settings={}, pretrain_settings={}, train_settings={}))


def test_all_labelled_patients_are_drawn_once(phantom, tmp_path):
    cells = tasks(make_plan(**arguments(phantom, labelled=[1, 4], draws=3)), tmp_path)
    counts = [task.facts["labelled"] for task in cells if task.name.startswith("finetune/scratch")]
    assert sorted(counts) == [1, 1, 1, 4]


def test_no_training_is_handed_test_patients(phantom, tmp_path):
    plan = make_plan(**arguments(phantom))
    tested = {case["image"] for case in plan.splits[0]["test"]}
    for task in tasks(plan, tmp_path):
        text = json.dumps([asdict(run) for run in task.runs if run.stage != "inference"])
        assert tested and not any(image in text for image in tested)


def test_a_transductive_study_marks_its_scores(phantom, tmp_path):
    cells = tasks(make_plan(**arguments(phantom, transductive=True)), tmp_path)
    assert all(task.facts["transductive"] for task in cells if task.name.startswith("finetune"))


def test_names_of_digits_stay_names(tmp_path):
    table = pd.DataFrame({"patient": ["001", "NA"], "volume": ["1e5", "x"], "value": [0.5, float("nan")]})
    write_text(tmp_path / "scores.csv", table.to_csv(index=False))
    pd.testing.assert_frame_equal(read_scores(tmp_path / "scores.csv"), table, check_dtype=False)


def test_a_study_inside_its_bundle_is_refused(phantom, tmp_path):
    bundle = write_plain_bundle(tmp_path)
    cells = [Task("cell", str(bundle), [], [])]
    with pytest.raises(StudyFailed, match="lies in the bundle"):
        run_cells(cells, bundle / "study", here, 1)


@pytest.mark.slow
def test_the_local_launcher_runs_cells_and_tells_why_one_failed(tmp_path):
    bundle = str(write_plain_bundle(tmp_path))
    cells = [Task("good", bundle, [], []), Task("bad", bundle, ["missing"], [Run(["train"])])]
    with pytest.raises(
        StudyFailed, match=r"1 of 2 cells failed(.|\n)*bad: RuntimeError: FileNotFoundError.*missing.json"
    ):
        run_cells(cells, tmp_path, local_launcher(2), 2)
    assert is_done(tmp_path / "good") and "Traceback" in (tmp_path / "bad" / "log.txt").read_text()


def test_a_folder_keeps_one_plan(phantom, tmp_path):
    keep_plan(tmp_path / "study", arguments(phantom))
    assert keep_plan(tmp_path / "study", {}) == keep_plan(tmp_path / "study", arguments(phantom))
    with pytest.raises(ValueError, match="plan.json is another plan"):
        keep_plan(tmp_path / "study", arguments(phantom, draws=2))
    with pytest.raises(ValueError, match="plan.json does not exist; give --dataset_dir"):
        keep_plan(tmp_path / "other", {})
    with pytest.raises(ValueError, match="expected at least 7 patient"):
        keep_plan(tmp_path / "few", arguments(phantom, labelled=[7]))
    assert not (tmp_path / "few").exists()
    card = pd.read_csv(tmp_path / "study" / "data_card.csv").set_index("part")
    assert (
        card.loc["test", "patients"] == 2
        and card.loc["pretrain", "volumes"] == 4
        and card.loc["test", "volumes with LV"] == 2
    )
    environment = json.loads((tmp_path / "study" / "environment.json").read_text())
    assert len(environment["bundles"]["gcl_segmentation"]) == 64 and environment["versions"]["torch"]


def test_every_start_may_choose_its_learning_rate_with_its_own_weights(phantom, tmp_path):
    rates = {"scratch_learning_rates": [0.003], "pretrained_learning_rates": [0.001, 0.1]}
    cells = {task.name: task for task in tasks(make_plan(**arguments(phantom, labelled=[1, 2], **rates)), tmp_path)}
    pretraining = "pretrain/gcl_segmentation/pretrain_local_fold_0"
    for labelled in (1, 2):
        final = cells[f"finetune/gcl_segmentation/labelled_{labelled}_draw_0_seed_0_fold_0"]
        rivals = final.chosen["learning_rate"]
        assert list(rivals) == ["0.001", "0.1"] and final.needs == [pretraining, *rivals.values()]
        for rate, name in rivals.items():
            run = cells[name].runs[0]
            assert run.settings["learning_rate"] == float(rate) and cells[name].needs == [pretraining]
            assert run.data["pretrained"] == final.runs[0].data["pretrained"]
            assert not {case["patient"] for case in cells[name].scored} & {case["patient"] for case in final.scored}
        scratch = cells[f"finetune/scratch/labelled_{labelled}_draw_0_seed_0_fold_0"]
        assert list(scratch.chosen["learning_rate"]) == ["0.003"]


@pytest.fixture(scope="module")
def study(phantom, tmp_path_factory) -> tuple[list[Task], Path]:
    """A study that has run in this process: scratch with a choice, and a bundle with pre-training."""
    root = tmp_path_factory.mktemp("study")
    plan = make_plan(**arguments(phantom, scratch_learning_rates=[0.001, 0.1]))
    cells = tasks(plan, root)
    run_cells(cells, root, here, 1)
    return cells, root


def test_a_file_that_changed_since_the_study_began_is_named(phantom, tmp_path):
    keep_plan(tmp_path, arguments(phantom))
    record = json.loads((tmp_path / "environment.json").read_text())
    file = next(iter(record["files"]))
    write_text(tmp_path / "environment.json", json.dumps({**record, "files": {**record["files"], file: "of before"}}))
    with pytest.raises(ValueError, match=rf"1 file\(s\) have changed since .*such as {file}: trainings and scores"):
        keep_plan(tmp_path, {})


def test_another_version_of_the_code_is_warned_of(phantom, tmp_path):
    keep_plan(tmp_path, arguments(phantom))
    record = json.loads((tmp_path / "environment.json").read_text())
    for change, told in (
        ({"commit": "abc"}, "commit abc"),
        ({"versions": {**record["versions"], "torch": "1"}}, "torch 1"),
    ):
        write_text(tmp_path / "environment.json", json.dumps({**record, **change}))
        with pytest.warns(UserWarning, match=rf"was begun with {told} \(now .*\), and cells of both will stand"):
            keep_plan(tmp_path, {})


@pytest.mark.parametrize(("workers", "launcher"), [(0, "local"), (1.5, "local"), (1, "cluster")])
def test_workers_and_launchers_that_are_none_are_refused_at_once(workers, launcher, tmp_path):
    with pytest.raises(ValueError, match="workers|launcher"):
        StudyCommands().run(str(tmp_path / "study"), workers, launcher)
    assert not (tmp_path / "study").exists()


def test_nothing_is_chosen_where_no_validation_patient_has_a_score(tmp_path):
    facts = {"method": "a", "labelled": 1, "fold": 0, "draw": 0, "seed": 0, "volume": "v", "patient": "p", "class": "c"}
    rows = {**facts, "metric": ["dice", "hd95"], "value": [float("nan"), 3.0], "missed": False}
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        pd.DataFrame(rows).to_csv(tmp_path / name / "scores.csv", index=False)
    with pytest.raises(ValueError, match="no validation patient has a dice under any of 0.1, 0.2"):
        choose(tmp_path, {"0.1": "one", "0.2": "other"}, "dice")


def test_what_is_chosen_has_the_best_of_the_means_that_are_reported(tmp_path):
    """A class that one of a patient's two volumes lacks does not weigh the other class more."""
    facts = {"method": "a", "labelled": 1, "fold": 0, "draw": 0, "seed": 0, "patient": "p", "metric": "dice"}
    for name, values in (("one", (1.0, float("nan"), 0.4, 0.4)), ("other", (0.68, 0.68, 0.68, 0.68))):
        (tmp_path / name).mkdir()
        rows = {**facts, "volume": ["v", "v", "w", "w"], "class": ["c", "d"] * 2, "value": values, "missed": False}
        pd.DataFrame(rows).to_csv(tmp_path / name / "scores.csv", index=False)
    assert choose(tmp_path, {"0.1": "one", "0.2": "other"}, "dice") == "0.1"  # (1 + 0.4) / 2, and not 1.8 / 3


def test_a_study_scores_every_volume_once(study):
    cells, root = study
    scores = collect_scores(cells, root)
    assert len(scores) == 2 * 2 * CLASSES * METRICS
    assert not scores.duplicated(["method", "labelled", "draw", "seed", "volume", "class", "metric"]).any()
    assert scores.groupby("method").size().to_dict() == {"scratch": 30, "gcl_segmentation": 30}
    dice = scores[scores["metric"] == "dice"]["value"].dropna()
    assert dice.between(0, 1).all()


def test_training_from_scratch_takes_the_better_learning_rate_on_validation_patients(study):
    cells, root = study
    means = {}
    for task in cells:
        if task.name.startswith("choice"):
            scores = pd.read_csv(root / task.name / "scores.csv")
            dice = scores[scores["metric"] == "dice"]
            means[task.facts["learning_rate"]] = dice.groupby("patient")["value"].mean().mean()
            tested = {case["patient"] for cell in cells if cell.name.startswith("finetune") for case in cell.scored}
            assert not set(scores["patient"]) & tested
    final = next(task for task in cells if task.name.startswith("finetune/scratch"))
    settings = json.loads((root / final.name / "train.json").read_text())
    assert len(means) == 2 and settings["learning_rate"] == max(means, key=means.__getitem__)


def test_the_training_of_the_chosen_rate_is_not_done_twice(study):
    cells, root = study
    final = next(task for task in cells if task.name.startswith("finetune/scratch"))
    settings = json.loads((root / final.name / "train.json").read_text())
    choice = root / final.chosen["learning_rate"][str(settings["learning_rate"])]
    for pattern in ("models/model*.pt", "eval/events*", "train.done"):
        found = {path.name: path.read_bytes() for path in (root / final.name).glob(pattern)}
        assert found and found == {path.name: path.read_bytes() for path in choice.glob(pattern)}
    assert (root / final.name / "train.reused").read_text() == choice.name
    assert [cost.name for cost in stage_costs(root, final)] == ["inference", "inference_last"]


def test_no_other_draw_takes_a_training_over(phantom, tmp_path):
    plan = make_plan(**arguments(phantom, draws=2, scratch_learning_rates=[0.003]))
    cells = {task.name: task for task in tasks(plan, tmp_path)}
    choice, *draws = (
        cells[f"{kind}/scratch/labelled_1_{what}_fold_0"].runs[0]
        for kind, what in (
            ("choice", "learning_rate_0.003"), ("finetune", "draw_0_seed_0"), ("finetune", "draw_1_seed_0")
        )
    )  # fmt: skip
    first, second = (replace(run, settings={**run.settings, "learning_rate": 0.003}) for run in draws)
    assert choice == first != second


def test_only_a_training_that_is_done_and_kept_its_weights_is_taken_over(tmp_path):
    done, folder = tmp_path / "done", tmp_path / "cell"
    for path in (done / "models", done / "eval", folder):
        path.mkdir(parents=True)
    (done / "models" / "model.pt").write_bytes(b"weights")
    reuse_training("train", done, folder)
    (done / "models" / "model.pt").rename(done / "kept")
    (done / "train.done").write_text("3.0")
    reuse_training("train", done, folder)
    assert not list(folder.iterdir())
    (done / "kept").rename(done / "models" / "model.pt")
    reuse_training("train", done, folder)
    assert (folder / "models" / "model.pt").read_bytes() == b"weights" and (folder / "train.done").is_file()


def test_the_pretrained_weights_are_those_that_the_last_stage_wrote(study):
    cells, root = study
    final = next(task for task in cells if task.name.startswith("finetune/gcl"))
    weights = Path(json.loads((root / final.name / "train.json").read_text())["pretrained"])
    assert weights == root / "pretrain/gcl_segmentation/pretrain_local_fold_0/models/model_pretrain_local.pt"
    assert weights.is_file() and not list((root / final.name / "models").glob("resume_*"))


def test_the_last_checkpoint_is_scored_beside_the_best_and_never_for_a_choice(study):
    cells, root = study
    best, last = (collect_scores(cells, root, name) for name in ("scores.csv", "scores_last.csv"))
    pd.testing.assert_frame_equal(best.drop(columns=["value", "missed"]), last.drop(columns=["value", "missed"]))
    write_tables(cells, root)
    pd.testing.assert_frame_equal(read_scores(root / "scores_last.csv"), last)
    for task in cells:
        final = task.kind == Kind.FINETUNE
        assert (root / task.name / "scores_last.csv").is_file() == (root / task.name / "eval_last").is_dir() == final
        assert ("scores_last.csv" in json.loads((root / task.name / "done").read_text())) == final
        if final:
            settings = json.loads((root / task.name / "inference_last.json").read_text())
            assert settings["handlers#0#load_path"].endswith("/model_final.pt'")


@pytest.mark.parametrize("erased", ["model.pt", "model_final.pt"])
def test_each_table_is_of_its_own_checkpoint(study, tmp_path, erased):
    """A network of zeros finds no structure anywhere: it is put in the place of one of the two checkpoints."""
    cells, root = study
    task = next(task for task in cells if task.name.startswith("finetune/gcl"))
    folder = tmp_path / "study" / task.name
    shutil.copytree(root / task.name, folder)
    names = ["scores.csv", "scores_last.csv"]
    before = [read_scores(folder / name) for name in names]
    weights = torch.load(folder / "models" / erased, weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in weights.items()}, folder / "models" / erased)
    for name in ("train", "inference", "inference_last"):  # the copy lies elsewhere than its arguments say
        (folder / f"{name}.json").unlink()
        (folder / f"{name}_data.json").unlink()
    for name in ("inference.done", "inference_last.done", "done", *names):
        (folder / name).unlink()
    for name in ("eval", "eval_last"):
        shutil.rmtree(folder / name)
    run_task(folder)
    after = [read_scores(folder / name) for name in names]
    changed = ["model.pt", "model_final.pt"].index(erased)
    pd.testing.assert_frame_equal(after[1 - changed], before[1 - changed])
    dice = after[changed].query("metric == 'dice'")
    assert (dice["value"] == 0).all() and dice["missed"].all() and len(dice) == 2 * CLASSES
    assert before[changed].query("metric == 'dice'")["value"].max() > 0


def test_a_cell_that_was_run_before_there_were_last_scores_is_left_out_of_them(study, tmp_path):
    cells, root = study
    shutil.copytree(root, tmp_path / "study")
    folder = tmp_path / "study" / next(task.name for task in cells if task.name.startswith("finetune/gcl"))
    (folder / "scores_last.csv").unlink()
    digests = json.loads((folder / "done").read_text())
    (folder / "done").write_text(json.dumps({name: digests[name] for name in digests if name != "scores_last.csv"}))
    with pytest.warns(UserWarning, match=f"{folder} was run by a version that wrote no scores_last.csv"):
        assert set(collect_scores(cells, tmp_path / "study", "scores_last.csv")["method"]) == {"scratch"}
    assert set(collect_scores(cells, tmp_path / "study")["method"]) == {"scratch", "gcl_segmentation"}


def test_what_is_done_is_not_run_again(study):
    cells, root = study

    def refuse(folder):
        raise AssertionError(f"{folder} ran again")

    run_cells(cells, root, refuse, 1)


def test_damaged_scores_are_named(study, tmp_path):
    cells, root = study
    task = next(task for task in cells if task.name.startswith("finetune/scratch"))
    scores = root / task.name / "scores.csv"
    whole = scores.read_bytes()
    try:
        scores.write_bytes(whole[:-20])
        with pytest.warns(UserWarning, match=f"{root / task.name} says that it is done, but its scores.csv is damaged"):
            assert set(collect_scores(cells, root)["method"]) == {"gcl_segmentation"}
        scores.unlink()
        with pytest.raises(StudyFailed, match="1 of 6 cells failed(.|\n)*its scores.csv is absent; remove the folder"):
            run_cells(cells, root, here, 1)
    finally:
        scores.write_bytes(whole)


@pytest.mark.parametrize("damage", ["changed", "absent", "mark"])
def test_damaged_weights_are_named_and_stop_only_what_needs_them(study, tmp_path, damage):
    cells, root = study
    shutil.copytree(root, tmp_path / "study")
    root = tmp_path / "study"
    pretraining = root / "pretrain/gcl_segmentation/pretrain_local_fold_0"
    weights = pretraining / "models" / "model_pretrain_local.pt"
    if damage == "changed":
        weights.write_bytes(weights.read_bytes()[:-9] + b"x" * 9)
    elif damage == "absent":
        weights.unlink()
    else:
        (pretraining / "done").write_text("")
    undone = [task.name for task in cells if task.name.startswith("finetune")]
    for name in undone:
        (root / name / "done").unlink()
    launched = []

    def launch(folder):
        launched.append(str(folder.relative_to(root)))
        (folder / "done").write_text("{}")
        job: Future = Future()
        job.set_result(None)
        return job

    problem = "its done is damaged" if damage == "mark" else "its models/model_pretrain_local.pt is (damaged|absent)"
    with pytest.raises(StudyFailed, match=f"2 of 6 cells failed(.|\n)*{problem}; remove the folder(.|\n)*not run"):
        run_cells(cells, root, launch, 1)
    assert launched == [name for name in undone if "scratch" in name]


def test_a_plain_bundle_is_studied_too(phantom, tmp_path):
    bundle = write_plain_bundle(tmp_path)
    plan = make_plan(
        str(phantom), {"plain": str(bundle)}, [2], draws=1, validation=2, test=2, scratch_learning_rates=[],
        train_settings={"train#trainer#max_epochs": 2},
    )  # fmt: skip
    cells = tasks(plan, tmp_path / "study")
    (tmp_path / "study").mkdir()
    run_cells(cells, tmp_path / "study", here, 1)
    scores = collect_scores(cells, tmp_path / "study")
    assert len(cells) == 1 and len(scores) == 2 * CLASSES * METRICS and scores["value"].notna().any()
    assert not list(bundle.glob("models")) and not list(bundle.glob("eval"))
    write_tables(cells, tmp_path / "study")
    assert sorted(path.name for path in (tmp_path / "study").glob("*.csv")) == ["paper_compat.csv", "scores.csv"]


def test_methods_without_a_last_checkpoint_are_told(phantom, tmp_path, capsys):
    bundle = write_plain_bundle(tmp_path)
    others = {"settings": {}, "pretrain_settings": {}, "train_settings": {}}
    StudyCommands().plan(
        str(tmp_path / "study"), probe=False, **arguments(phantom, methods={"plain": str(bundle)}, **others)
    )
    assert "no last checkpoint is scored of plain: train.json writes none" in capsys.readouterr().out
    StudyCommands().plan(str(tmp_path / "other"), probe=False, **arguments(phantom))
    assert "no last checkpoint" not in capsys.readouterr().out


def fabricated(name: str, folder: Path, needs=()) -> Task:
    """A cell whose bundle does not exist."""
    return Task(name, str(folder / "bundle"), [], [Run(["train"])], list(needs))


def test_a_failed_cell_does_not_stop_the_others(tmp_path):
    cells = [fabricated("a", tmp_path), fabricated("b", tmp_path, ["a"]), fabricated("c", tmp_path)]

    def launch(folder):
        job: Future = Future()
        if folder.name == "a":
            job.set_exception(RuntimeError("no space left"))
        else:
            (folder / "done").write_text("{}")
            job.set_result(None)
        return job

    with pytest.raises(
        StudyFailed, match="2 of 3 cells failed(.|\n)*a: RuntimeError: no space left\n(.|\n)*b: not run"
    ):
        run_cells(cells, tmp_path, launch, 2)
    assert is_done(tmp_path / "c")


def test_a_cell_that_ends_without_its_mark_has_failed(tmp_path):
    def launch(folder):
        job: Future = Future()
        job.set_result(None)
        return job

    with pytest.raises(StudyFailed, match="ended without finishing"):
        run_cells([fabricated("a", tmp_path)], tmp_path, launch, 1)


def test_a_folder_of_another_cell_is_refused(tmp_path):
    write_task(fabricated("a", tmp_path), tmp_path)
    with pytest.raises(ValueError, match="task.json describes another cell"):
        write_task(fabricated("a", tmp_path, ["b"]), tmp_path)


def test_one_study_is_run_by_one_process(tmp_path):
    with alone(tmp_path), pytest.raises(ValueError, match="is being run by another process"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_full_disk_leaves_the_old_scores_and_is_named(tmp_path):
    """A limit on the size of files stands for the full disk."""
    (tmp_path / "scores.csv").write_text("whole")
    code = (
        "import pathlib, sys; from monai_cl_ext.files import write_text; "
        "write_text(pathlib.Path(sys.argv[1]), 'x' * 100_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "scores.csv")], capture_output=True, text=True,
        preexec_fn=_small_files_only,
    )  # fmt: skip
    assert done.returncode and "scores.csv" in done.stderr and "nothing of it was written; free space" in done.stderr
    assert (tmp_path / "scores.csv").read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


def _small_files_only():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


@pytest.mark.slow
def test_a_killed_study_goes_on_by_the_same_command(phantom, tmp_path):
    """The launcher's own processes: SIGKILL to all of them after the first cell, then the same command again."""
    root = tmp_path / "study"
    keep_plan(root, arguments(phantom, methods=["gcl_segmentation+no_local"], draws=2))
    command = [sys.executable, "-m", "monai_cl_ext", "study", "run", "--output", str(root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 240
    while not (cells := list(root.glob("finetune/*/*/train.json"))) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert cells, "no fine-tuning began"
    done = {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/done")}
    assert len(done) == 1
    subprocess.run(command, env=environment, check=True)
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    assert len(list(root.glob("*/*/*/done"))) == 3
    scores = pd.read_csv(root / "scores.csv")
    assert len(scores) == 2 * 2 * CLASSES * METRICS and not scores.drop(columns="value").duplicated().any()


def test_the_plan_is_told_before_anything_runs(phantom, tmp_path, capsys):
    StudyCommands().plan(str(tmp_path / "study"), probe=False, **arguments(phantom, transductive=True))
    told = capsys.readouterr().out
    assert "2 methods x 1 numbers of labeled patients [1] x 1 draws x 1 seeds x 1 test sets: 2 fine-tunings" in told
    assert "pretrain/gcl_segmentation/pretrain_global_fold_0 serves 1 fine-tunings" in told
    assert "TRANSDUCTIVE" in told and not (tmp_path / "study" / "finetune").exists()


def test_the_probe_reckons_with_the_length_of_the_schedule(phantom, tmp_path, capsys):
    methods = ["gcl_segmentation+no_local"]
    expected = {}
    for epochs in (1, 200):
        plan = make_plan(**arguments(phantom, methods=methods, train_settings={**SHORT, "epochs": epochs}))
        expected[epochs] = expected_seconds(tasks(plan, tmp_path))
    for name in expected[1]:
        assert expected[1][name] > 0
        assert (expected[200][name] > 5 * expected[1][name]) == name.startswith("finetune")


def test_the_plan_tells_hours(phantom, tmp_path, capsys):
    methods = ["gcl_segmentation+no_local"]
    StudyCommands().plan(str(tmp_path / "study"), probe=True, **arguments(phantom, methods=methods))
    told = capsys.readouterr()
    assert "hours on this machine for 2 cells" in told.out
    rows = [line.split() for line in told.out.splitlines() if line.split()[1:2] == ["1"]]
    assert [row[0] for row in rows] == ["pretrain/gcl_segmentation/pretrain_global_fold_0", methods[0]]
    assert all(float(minutes) >= 0 and float(hours) >= 0 for _, _, minutes, hours in rows)
    assert "Key metric" not in told.out + told.err
    assert "Key metric" in (tmp_path / "study" / "plan_log.txt").read_text()


@pytest.mark.slow
def test_submitit_runs_a_cell(phantom, tmp_path):
    """Without Slurm on the machine submitit runs its jobs as processes here."""
    pytest.importorskip("submitit")
    cells = [Task("empty", str(write_plain_bundle(tmp_path)), [], [])]
    run_cells(cells, tmp_path, slurm_launcher(tmp_path, "local", timeout_min=5), 1)
    assert is_done(tmp_path / "empty") and list((tmp_path / "slurm").iterdir())


def test_a_job_of_submitit_prepares_volumes_into_a_store_of_its_node(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    for name, prints in (("sbatch", "Submitted batch job 7"), ("srun", "")):
        (tmp_path / name).write_text(f"#!/bin/bash\necho {prints}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    slurm_launcher(tmp_path, slurm_setup=["module load cuda"])(tmp_path / "cell")
    script, *_ = (tmp_path / "slurm").glob("*.sh")
    lines = script.read_text().splitlines()
    assert lines.index(NODE_STORE) < lines.index("module load cuda") < next(
        number for number, line in enumerate(lines) if line.startswith("srun")
    )  # fmt: skip
