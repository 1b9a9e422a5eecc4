# SPDX-License-Identifier: Apache-2.0
"""Training without a choice: from a folder to a bundle that predicts, stopped and gone on, refused where it must be."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_cl_ext.cli import Commands
from monai_cl_ext.data import read_nifti, write_phantom
from monai_cl_ext.handlers.resume import Resume
from monai_cl_ext.packing.pack import pack
from monai_cl_ext.packing.trained_run import trained_run
from monai_cl_ext.recipes.predict import predict
from monai_cl_ext.recipes.recipe import TrainingRecipe
from monai_cl_ext.recipes.train import train

TINY = TrainingRecipe(
    method="gcl_segmentation+no_local > bcp_segmentation",
    reason="for a test",
    settings={"pixdim": [5.0, 5.0], "image_size": [32, 32], "network_def#features": [4, 8, 8, 8, 8, 4]},
    pretrain_settings={"epochs": 2, "batches_per_epoch": 2},
    train_settings={"epochs": 2, "batches_per_epoch": 3},
)
SUPERVISED = replace(TINY, method="gcl_segmentation+no_local > supervised_segmentation")


def labelled_alone(data: Path, number: int) -> Path:
    """The data set with labels of its first patients alone."""
    content = json.loads((data / "dataset.json").read_text())
    for case in content["training"][number:]:
        if label := case.pop("label", None):
            (data / label).unlink()
    (data / "dataset.json").write_text(json.dumps(content))
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return labelled_alone(write_phantom(tmp_path_factory.mktemp("data") / "phantom", patients=6), 4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data) -> Path:
    root = tmp_path_factory.mktemp("run") / "run"
    assert train(str(data), str(root), recipe=TINY) == root / "bundle"
    return root


@pytest.fixture
def no_report(monkeypatch):
    """Reports take most of the time of a tiny training; that of ``trained`` is looked at."""
    monkeypatch.setattr("monai_cl_ext.recipes.train.write_report", lambda root: root / "report.html")


@pytest.fixture
def few(data, tmp_path) -> Path:
    """The data set with labels of two patients."""
    return labelled_alone(Path(shutil.copytree(data, tmp_path / "few")), 2)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def weights(root: Path, name: str = "model.pt") -> dict[str, torch.Tensor]:
    return torch.load(root / "bundle" / "models" / name, weights_only=True)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_it_trained_is_packed(trained, data, tmp_path):
    packed = pack(str(trained), str(tmp_path / "phantom_segmentation")).folder
    scores = read(packed / "configs" / "metadata.json")["eval_metrics"]
    assert not trained_run(str(trained)).unscored and 0 <= scores["dice_mean"] <= 1
    images = str(data / "imagesTs") if (data / "imagesTs").is_dir() else str(data / "imagesTr")
    predict(str(trained), images, str(tmp_path / "expected"))
    predict(str(packed), images, str(tmp_path / "found"))
    expected = sorted((tmp_path / "expected").glob("*.nii.gz"))
    assert expected
    for path in expected:
        assert (read_nifti(tmp_path / "found" / path.name).get_fdata() == read_nifti(path).get_fdata()).all()
    files = [path for path in packed.rglob("*") if path.is_file() and path.parent.name != "models"]
    assert not any(str(place) in path.read_text() for path in files for place in (trained, data))
    assert {path.name for path in (packed / "models").iterdir()} <= {"model.pt", "model.ts", "model.onnx"}


def test_the_bundle_predicts_as_it_stands_and_as_predict_does(trained, data, tmp_path, monkeypatch):
    image = sorted((data / "imagesTr").iterdir())[-1]
    monkeypatch.chdir(trained / "bundle")
    flow = ConfigWorkflow(
        "configs/inference.json", "configs/metadata.json", "configs/logging.conf", workflow_type="infer",
        dataset_dir=str(data / "imagesTr"), output_dir=str(tmp_path / "monai"),
    )  # fmt: skip
    flow.initialize()
    assert not flow.check_properties()
    flow.run()
    name = image.name.removesuffix(".nii.gz")
    assert len(list((tmp_path / "monai").rglob("*.nii.gz"))) == 6
    assert predict(str(trained), str(image), str(tmp_path / "own")) == 1
    by_monai = read_nifti(tmp_path / "monai" / name / f"{name}_trans.nii.gz").get_fdata()
    own = read_nifti(tmp_path / "own" / f"{name}.nii.gz").get_fdata()
    assert own.shape == read_nifti(image).shape and (own == by_monai).all()


def test_what_was_chosen_stands_in_the_bundle(trained, data):
    for config in ("bundle/configs/train", "bundle/configs/inference", "pretraining/configs/pretrain_global"):
        content = read(trained / f"{config}.json")
        assert content["image_size"] == [32, 32] and content["num_classes"] == 4 and content["slice_axis"] == 2
        assert content["network_def"]["features"] == [4, 8, 8, 8, 8, 4]
    assert read(trained / "bundle" / "configs" / "evaluate.json")["class_names"] == ["RV", "myocardium", "LV"]
    formats = read(trained / "bundle" / "configs" / "metadata.json")["network_data_format"]
    output = formats["outputs"]["pred"]
    assert formats["inputs"]["image"]["modality"] == next(iter(read(data / "dataset.json")["modality"].values()))
    assert output["num_channels"] == 4 and output["channel_def"]["2"] == "myocardium"
    assert (trained / "bundle" / "LICENSE").is_file() and (trained / "bundle" / "docs" / "README.md").is_file()


def test_training_starts_from_the_pretrained_weights_of_the_bundle(trained):
    started = read(trained / "bundle" / "eval" / "run_train.json")["settings"]["pretrained"]
    assert Path(started) == trained / "bundle" / "models" / "model_pretrain_global.pt" and Path(started).is_file()
    assert not list(trained.rglob("resume_*"))


def test_validation_patients_are_in_no_training(trained):
    split = read(trained / "run.json")["split"]
    (held_back,) = {case["patient"] for case in split["validation"]}
    records = [read(path) for path in trained.rglob("run_*.json") if "evaluate" not in path.name]
    assert len(records) == 2
    for record in records:
        (used,) = (set(card["patient_of_volume"]) for part, card in record["data"].items() if part != "validation")
        assert held_back not in used and record["data"]["validation"]["patient_of_volume"] == [held_back]
    images = {case["image"] for case in split["pretrain"]}
    assert len(images) == 5 and not images & {case["image"] for case in split["validation"]}
    handed = read(trained / "pretraining" / "pretrain_global_data.json")["split"]
    assert not any("label" in case for cases in handed.values() for case in cases)


def test_the_report_says_that_validation_volumes_chose_the_weights(trained):
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "Scores on validation volumes" in page and "chose the weights" in page and "test volumes" not in page
    assert "overlays" in page


@pytest.mark.usefixtures("no_report")
def test_choices_are_told_and_libraries_are_not_heard(data, tmp_path, capfd):
    train(str(data), str(tmp_path / "my run"), recipe=TINY)
    told = capfd.readouterr().out
    for line in ("image_size 32, 32: by the recipe", "num_classes 4:", "of 4 labeled patients", "1/3 pre-training"):
        assert line in told
    assert "expected: about" in told and "mean Dice on validation volumes" in told and "INFO" not in told
    assert "INFO" in (tmp_path / "my run" / "log.txt").read_text(encoding="utf-8")
    assert f"next: python -m monai_cl_ext predict '{tmp_path / 'my run'}' IMAGES" in told


@pytest.mark.usefixtures("no_report")
def test_a_stopped_training_goes_on_to_the_same_weights(trained, data, tmp_path, monkeypatch, capsys):
    save, calls = Resume._save, []

    def save_and_stop(self, state, name, metadata=None):
        save(self, state, name, metadata)
        calls.append(self.directory)
        if name.endswith("_1.pt") and calls.count(self.directory) == 1 and tmp_path in self.directory.parents:
            raise KeyboardInterrupt

    monkeypatch.setattr(Resume, "_save", save_and_stop)
    root = tmp_path / "run"
    for stage in ("pretrain_global", "train"):
        with pytest.raises(KeyboardInterrupt):
            train(str(data), str(root), recipe=TINY)
        assert calls[-1].name == f"resume_{stage}"
    train(str(data), str(root), recipe=TINY)
    told = capsys.readouterr().out
    assert told.count("expected: about") == 2  # again where the first stage was stopped, and no more once it is done
    assert told.count("stopped; the same command goes on") == 2 and told.count("goes on where it stopped") == 2
    own = [folder for folder in calls if root in folder.parents]
    assert len(own) == 4  # two epochs of each stage, none twice
    for name in ("model_pretrain_global.pt", "model_final.pt", "model.pt"):
        assert same(weights(root, name), weights(trained, name)), name


@pytest.mark.usefixtures("no_report")
def test_what_is_done_is_not_run_again(trained, data, capsys):
    """A second evaluation below the bundle, such as that of test volumes, is none of the training's."""
    before = (trained / "bundle" / "models" / "model.pt").stat().st_mtime_ns
    for place in ("eval_test", "eval/again"):
        (trained / "bundle" / place).mkdir()
        shutil.copy(trained / "bundle" / "eval" / "metrics.csv", trained / "bundle" / place)
    train(str(data), str(trained), recipe=TINY)
    assert (trained / "bundle" / "models" / "model.pt").stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("done before") == 3


def test_changed_arguments_and_files_are_refused(trained, data, few):
    with pytest.raises(ValueError, match="was begun with validation_patients None, found 2; give"):
        train(str(data), str(trained), 2, recipe=TINY)
    with pytest.raises(ValueError, match="was begun with data_dir"):
        train(str(few), str(trained), recipe=TINY)
    with pytest.raises(ValueError, match="was begun with recipe"):
        train(str(data), str(trained))


def test_a_folder_that_was_moved_is_to_be_moved_back(trained, data, tmp_path):
    moved = trained.rename(tmp_path / "moved")
    try:
        with pytest.raises(ValueError, match=f"moved was moved from {trained}, .*; move it back to go on"):
            train(str(data), str(moved), recipe=TINY)
        image = sorted((data / "imagesTr").iterdir())[0]
        assert predict(str(moved), str(image), str(tmp_path / "out")) == 1
    finally:
        moved.rename(trained)


@pytest.mark.usefixtures("no_report")
def test_a_validation_patient_whose_label_is_empty_is_trained_on(data, tmp_path, monkeypatch, capsys):
    def stop(plan, root):
        assert plan.split["validation"] == []
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_cl_ext.recipes.train.held_classes", lambda cases, facts: set())
    monkeypatch.setattr("monai_cl_ext.recipes.train.Training", stop)
    with pytest.raises(KeyboardInterrupt):
        train(str(data), str(tmp_path / "run"), recipe=TINY, validation=1)
    assert "warning: the labels of 1 of them, such as " in capsys.readouterr().out


@pytest.mark.usefixtures("no_report")
def test_a_class_that_validation_patients_alone_have_is_named(data, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    held = iter([{1}, {1, 2}, {1}])
    monkeypatch.setattr("monai_cl_ext.recipes.train.held_classes", lambda cases, facts: next(held))
    monkeypatch.setattr("monai_cl_ext.recipes.train.Training", stop)
    with pytest.raises(KeyboardInterrupt):
        train(str(data), str(tmp_path / "run"), recipe=TINY)
    assert "warning: myocardium: held by validation patients only" in capsys.readouterr().out


def test_masks_of_gray_values_are_no_256_classes(data, tmp_path):
    folder = tmp_path / "plain"
    for kind in ("images", "labels"):
        shutil.copytree(data / f"{kind}Tr", folder / kind)
    for path in (folder / "labels").iterdir():
        label = nib.load(path)
        nib.save(nib.Nifti1Image(255 * (np.asarray(label.dataobj) > 0).astype(np.uint8), label.affine), path)
    with pytest.raises(
        ValueError, match="hold the values 0, 255, which would make 256 classes; write them as 0 to 1, or"
    ):
        train(str(folder / "images"), str(tmp_path / "run"), recipe=TINY, label_dir=str(folder / "labels"))


def test_a_file_that_changed_meanwhile_is_named(trained, data, monkeypatch):
    plan = read(trained / "run.json")
    file = next(iter(plan["contents"]))
    changed = {**plan, "modality": "MR", "contents": {**plan["contents"], file: "other"}}  # as plans of before had
    shutil.copy(trained / "run.json", trained / "kept")
    try:
        (trained / "run.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=f"1 of them came, went or changed since, such as {file}"):
            train(str(data), str(trained), recipe=TINY)
    finally:
        (trained / "kept").rename(trained / "run.json")


def test_a_folder_that_holds_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"expected a new folder, or one of train, found thesis.tex in it"):
        train(str(data), str(tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(ValueError, match="lies in the data"):
        train(str(data), str(data / "run"))


def test_the_command_runs_what_it_is_given(data, tmp_path, monkeypatch, capsys):
    def stop(plan, root):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_cl_ext.recipes.train.Training", stop)
    with pytest.raises(KeyboardInterrupt):
        Commands().train(str(data), str(tmp_path / "run"), recipe="scratch > supervised_segmentation")
    kept = read(tmp_path / "run" / "run.json")
    assert kept["recipe"]["method"] == kept["given"]["recipe"] == "scratch > supervised_segmentation"
    with pytest.raises(ValueError, match="was begun with recipe 'scratch > supervised_segmentation', found None"):
        train(str(data), str(tmp_path / "run"))
    with pytest.raises(FileNotFoundError, match="found no bundle 'no_such_bundle'"):
        train(str(data), str(tmp_path / "other"), recipe="scratch > no_such_bundle")


def test_errors_of_the_check_stop_and_are_shown(few, tmp_path, capsys):
    image = sorted((few / "imagesTr").iterdir())[3]
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"1 error\(s\) in .*training cannot start; .*check.html"):
        train(str(few), str(tmp_path / "run"), recipe=SUPERVISED)
    told = capsys.readouterr().out
    assert f"error: {image}" in told and not (tmp_path / "run" / "bundle").exists()
    assert (tmp_path / "run" / "check" / "check.html").is_file()


@pytest.mark.slow
def test_two_labeled_patients_are_both_trained_on_and_the_last_weights_taken(few, tmp_path, capsys):
    train(str(few), str(tmp_path / "run"), recipe=SUPERVISED)
    told = capsys.readouterr().out
    assert "validation none: fewer than 4 labeled patients" in told and "last weights are taken" in told
    root = tmp_path / "run"
    assert same(weights(root), weights(root, "model_final.pt"))
    record = read(root / "bundle" / "eval" / "run_train.json")
    assert len(record["data"]["training"]["patient_of_volume"]) == 2 and record["data"]["validation"]["patients"] == 0
    pretraining = read(root / "pretraining" / "eval" / "pretrain_global" / "run_pretrain_global.json")
    assert pretraining["data"]["pre-training"]["patients"] == 6 and (root / "report.html").is_file()


def test_pictures_are_refused_before_they_are_read(tmp_path, capsys):
    for folder in ("images", "masks"):
        (tmp_path / "png" / folder).mkdir(parents=True)
        (tmp_path / "png" / folder / "one.png").write_bytes(b"nothing that can be read")
    with pytest.raises(
        ValueError, match=r"train takes NIfTI volumes, found 1 picture.*one.png; docs/own_data.md#pict.*bundle run"
    ):
        train(str(tmp_path / "png" / "images"), str(tmp_path / "run"), label_dir=str(tmp_path / "png" / "masks"))
    assert "checking" not in capsys.readouterr().out


def test_without_labels_it_says_what_to_give(few, tmp_path):
    labelled_alone(few, 0)
    with pytest.raises(ValueError, match="found 6 volume.*but no label; give the folder of the labels.*--labels"):
        train(str(few), str(tmp_path / "run"), recipe=TINY)
