# SPDX-License-Identifier: Apache-2.0
"""The GCL bundle: every stage on a small phantom, and whatever drives a bundle besides."""

import csv
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, load
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.nets import BasicUNet
from workflows import BUNDLES, SMALL, copy_bundle, run, workflow

from monai_cl_ext.data import LoadCased, find_cases, released_patients, volume_transform, write_phantom
from monai_cl_ext.networks import GCLUNet

NAME = "gcl_segmentation"
FINETUNE = {**SMALL, "batch_size": 4}
STAGES = ["pretrain_global", "pretrain_local"]
COMMAND = [sys.executable, "-m", "monai.bundle", "run"]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "data", patients=9, seed=0)
    return folder / "data"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, phantom) -> Path:
    """The bundle after pre-training, fine-tuning, evaluation and inference."""
    root = copy_bundle(NAME, tmp_path_factory.mktemp("bundle"))
    settings = {"dataset_dir": str(phantom)}
    for stage in STAGES:
        run(root, [stage], **settings, **SMALL)
    run(root, ["train"], **settings, **FINETUNE, **start(root))
    run(root, ["train", "evaluate"], **settings, **FINETUNE)
    sizes = {name: SMALL[name] for name in ("device", "image_size", "pixdim", "network_def#features")}
    tests = ConfigParser()
    tests.read_config([f"{root}/configs/train.json"])
    tests.update({**settings, **FINETUNE, "bundle_root": str(root)})
    images = [case["image"] for case in tests.get_parsed_content("split")["test"]]
    run(root, ["inference"], "infer", **settings, **sizes, datalist=[str(image) for image in images])
    return root


def start(root: Path) -> dict:
    """Settings of a fine-tuning from both pre-training stages."""
    return {"pretrained": f"{root}/models/model_pretrain_local.pt"}


def configs() -> list[str]:
    return sorted(path.stem for path in (BUNDLES / NAME / "configs").glob("*.json"))


# files, metadata, the zoo's checks


def test_own_classes_are_named_in_full_and_inference_names_only_its_gate_and_progress():
    for name in configs():
        text = (BUNDLES / NAME / "configs" / f"{name}.json").read_text()
        assert all("." in target for target in re.findall(r'"_target_": "([^"]+)"', text)), name
    text = (BUNDLES / NAME / "configs" / "inference.json").read_text()
    assert set(re.findall(r"monai_cl_ext[\w.]*", text)) == {
        "monai_cl_ext",
        "monai_cl_ext.data.LoadCased",
        "monai_cl_ext.data.AxisSpacingd",
        "monai_cl_ext.handlers.Progress",
    }


def test_train_evaluate_and_inference_prepare_an_image_alike():
    def image_chain(preprocessing):
        chain = [
            item if isinstance(item, dict) else {"_target_": item, "keys": "image"}
            for item in json.loads(json.dumps(preprocessing["transforms"]))
        ]
        # Inference has MONAI's forms as well, for where this package is absent; both are tested to be equal.
        chain = [item for item in chain if not item["_target_"].endswith((".LoadImaged", ".Spacingd"))]
        for item in chain:
            item.pop("_disabled_", None)
            item.pop("num_classes", None)
            item.pop("allow_missing_keys", None)
            item.setdefault("mode", "bilinear") if item["_target_"].endswith("Spacingd") else None
            both = item["keys"] == ["image", "label"]
            item["keys"] = "image"
            if both and "mode" in item:
                item["mode"] = item["mode"][0]
        return chain

    read = {name: json.loads((BUNDLES / NAME / "configs" / f"{name}.json").read_text())
            for name in (*STAGES, "train", "inference")}  # fmt: skip
    for name in ("window_ends", "scale_intensities", "in_channels", "nonzero", "window"):
        assert all(config[name] == read["inference"][name] for config in read.values())
    reference = image_chain(read["inference"]["preprocessing"])
    assert reference[1]["_target_"] == "@scale_intensities"
    assert image_chain(read["train"]["train"]["preprocessing"]) == reference
    assert image_chain(read["train"]["validate"]["preprocessing"]) == reference
    assert all(image_chain(read[stage]["train"]["preprocessing"]) == reference for stage in STAGES)


@pytest.mark.slow
@pytest.mark.parametrize("stage, change", [
    ("train", {"loss#lambda_ce": 5.0}), ("train", {"augmentation#rotation": 90.0}), ("train", {"optimizer#lr": 0.5}),
    ("train", {"test_patients": 3}), ("train", {"pretrained_blocks": 2}), ("pretrain_local", {"local_strategy": "ld"}),
    ("pretrain_local", {"regions": 9}), ("pretrain_local", {"encoder_batch_norm": "eval"}),
    ("pretrain_local", {"pretrained": ""}),
])  # fmt: skip
def test_a_changed_run_is_not_resumed(trained, phantom, stage, change):
    own = {**FINETUNE, **start(trained)} if stage == "train" else SMALL
    settings = {"dataset_dir": str(phantom), "resume": True, **own}
    workflow(trained, [stage], **settings)
    with pytest.raises(RuntimeError) as raised:
        workflow(trained, [stage], **{**settings, **change})
    assert "was saved by a run with other settings" in "".join(traceback.format_exception(raised.value))


# the stages


def test_every_stage_leaves_its_files(trained):
    for stage in STAGES:
        state = torch.load(trained / "models" / f"model_{stage}.pt", weights_only=True)
        assert set(state) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
        assert list((trained / "eval" / stage).glob("events.out.tfevents*"))
    assert (trained / "models" / "model.pt").is_file() and (trained / "models" / "model_final.pt").is_file()


def test_the_local_stage_keeps_the_encoders_weights(trained):
    before, after = (torch.load(trained / "models" / f"model_{stage}.pt", weights_only=True) for stage in STAGES)
    encoder = [name for name in before if name.startswith(("conv_0", "down_")) and "num_batches" not in name]
    changed = {name.rsplit(".", 1)[-1] for name in encoder if not torch.equal(before[name], after[name])}
    assert changed == {"running_mean", "running_var"}  # as released, these go on


@pytest.mark.parametrize("stage", STAGES)
def test_probe_and_effective_rank_are_in_tensorboard(trained, stage):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "eval" / stage))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert "train_loss" in tags and "partition_probe" in tags
    assert "effective_rank_score" in tags
    assert len(events.Scalars("partition_probe")) == SMALL["epochs"]


def test_scores_are_one_row_a_volume_and_class(trained):
    with open(trained / "eval" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3
    assert {row["class"] for row in rows} == {"RV", "myocardium", "LV"}
    assert {"volume", "dice", "jaccard", "hd95", "asd", "missed"} <= set(rows[0])


def test_inference_writes_what_evaluation_scored_on_the_native_grid(trained, phantom):
    flow = workflow(trained, ["train", "evaluate"], dataset_dir=str(phantom), **FINETUNE)
    predictions = {}

    def keep(engine):
        for output in engine.state.output:
            name = Path(output["image"].meta["filename_or_obj"]).name.removesuffix(".nii.gz")
            predictions[name] = output["pred"].numpy().copy()

    from ignite.engine import Events

    flow.evaluator.add_event_handler(Events.ITERATION_COMPLETED, keep)
    flow.run()
    assert len(predictions) == 2
    for name, prediction in predictions.items():
        written = nib.load(trained / "eval" / name / f"{name}_trans.nii.gz")
        image = nib.load(phantom / "imagesTr" / f"{name}.nii.gz")
        assert written.shape == image.shape
        np.testing.assert_allclose(written.affine, image.affine, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(written.dataobj), prediction[0])


def test_inference_runs_on_monai_alone_and_writes_the_same(trained, phantom, tmp_path, monkeypatch):
    sizes = {name: SMALL[name] for name in ("device", "image_size", "pixdim", "network_def#features")}
    written = sorted(trained.glob("eval/*/*_trans.nii.gz"))
    flow = workflow(trained, ["inference"], "infer", **sizes, datalist=[])
    first, *others = flow.preprocessing.transforms
    assert isinstance(first, LoadCased) and first.channels == 1
    assert not any(type(step).__name__ == "LoadImaged" for step in others)
    monkeypatch.setitem(sys.modules, "monai_cl_ext", None)  # as where it is not installed
    with pytest.raises(ImportError):
        importlib.import_module("monai_cl_ext")
    images = [str(phantom / "imagesTr" / f"{path.parent.name}.nii.gz") for path in written]
    assert images
    run(trained, ["inference"], "infer", **sizes, output_dir=str(tmp_path), datalist=images)
    for path in written:
        again = nib.load(tmp_path / path.parent.name / path.name)
        np.testing.assert_array_equal(np.asarray(again.dataobj), np.asarray(nib.load(path).dataobj))


@pytest.mark.parametrize("stage, blocks", [("pretrain_global", 0), ("pretrain_local", 3)])
def test_finetuning_starts_from_what_was_pretrained(trained, phantom, stage, blocks):
    path = trained / "models" / f"model_{stage}.pt"
    flow = workflow(trained, ["train"], dataset_dir=str(phantom), **FINETUNE, seed=1, pretrained=str(path))
    pretrained = torch.load(path, weights_only=True)
    state = flow.parser.get_parsed_content("network").state_dict()
    assert torch.equal(state["down_4.convs.conv_0.conv.weight"], pretrained["down_4.convs.conv_0.conv.weight"])
    names = [f"upcat_{number}.convs.conv_0.conv.weight" for number in (4, 3, 2, 1)]
    assert [torch.equal(state[name], pretrained[name]) for name in names] == [True] * blocks + [False] * (4 - blocks)


def test_the_local_stage_wants_the_weights_of_the_global_one_or_an_empty_path(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    with pytest.raises(RuntimeError) as raised:
        workflow(root, ["pretrain_local"], dataset_dir=str(phantom), **SMALL)
    assert "model_pretrain_global.pt: no such file" in "".join(traceback.format_exception(raised.value))
    workflow(root, ["pretrain_local"], dataset_dir=str(phantom), pretrained="", **SMALL)


def test_weights_of_another_network_are_refused(trained, phantom):
    settings = {key: value for key, value in FINETUNE.items() if key != "network_def#features"}
    pretrained = f"{trained}/models/model_pretrain_global.pt"
    with pytest.raises(RuntimeError, match="Failed to instantiate") as raised:  # MONAI wraps what a component raises
        workflow(trained, ["train", "network_gcl"], dataset_dir=str(phantom), pretrained=pretrained, **settings)
    assert "model_pretrain_global.pt does not fit GCLUNet" in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("stage, overlay", [
    *[("pretrain_global", name) for name in ("strategy_gr", "strategy_gd", "strategy_gd_minus", "network_gcl")],
    *[("pretrain_local", name) for name in ("local_strategy_ld", "strategy_gr", "network_gcl")],
])  # fmt: skip
def test_pretraining_runs_with_the_overlay(stage, overlay, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    small = {key: value for key, value in SMALL.items() if overlay != "network_gcl" or key != "network_def#features"}
    small |= {"epochs": 1, **({"pretrained": ""} if stage == "pretrain_local" else {})}
    flow = run(root, [stage, overlay], dataset_dir=str(phantom), **small)
    assert (root / "models" / f"model_{stage}.pt").is_file()
    if overlay == "local_strategy_ld":
        assert flow.parser.get_parsed_content("method").loss.strategy == "ld"
    if overlay == "network_gcl":
        assert isinstance(flow.network_def, GCLUNet)


def test_the_gcl_network_serves_all_stages(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {key: value for key, value in FINETUNE.items() if key != "network_def#features"}
    settings |= {"dataset_dir": str(phantom), "epochs": 1}
    run(root, ["train", "network_gcl"], **settings)
    run(root, ["train", "evaluate", "network_gcl"], **settings)
    assert (root / "eval" / "metrics.csv").is_file()


@pytest.fixture(scope="module")
def like_acdc(phantom, tmp_path_factory) -> Path:
    """A phantom under the names of the released lists: 74 patients, the end-diastolic frame of each."""
    folder = tmp_path_factory.mktemp("acdc")
    cases = find_cases(phantom)
    (folder / "labels").mkdir()
    names = sorted({name for group in released_patients("acdc", labelled=1).values() for name in group})
    for index, name in enumerate(names):
        for key, target in (("image", folder), ("label", folder / "labels")):
            file = f"patient{name}_frame{'04' if name == '090' else '01'}.nii.gz"
            (target / file).symlink_to(cases[index % len(cases)][key])
    return folder


@pytest.mark.slow
def test_the_papers_settings_train_evaluate_and_serve(like_acdc, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {"dataset_dir": str(like_acdc), "cases#label_dir": str(like_acdc / "labels")}
    small = {"image_size": [32, 32], "epochs": 1, "batches_per_epoch": 2, "batch_size": 4, "pixdim": [5.0, 5.0]}
    device = {"device": "$torch.device('cpu')"}

    flow = run(root, ["pretrain_global", "paper_acdc"], **settings, **small, **device)
    split = flow.parser.get_parsed_content("split")
    assert [len(split[part]) for part in ("pretrain", "train", "validation", "test")] == [52, 1, 2, 20]
    assert split["train"][0]["patient"] == "patient002"
    assert isinstance(flow.network_def, GCLUNet)
    assert flow.parser.get_parsed_content("optimizer").param_groups[0]["lr"] == 1e-3

    pretrained = f"{root}/models/model_pretrain_global.pt"
    flow = run(root, ["train", "paper_acdc"], **settings, **small, **device, pretrained=pretrained)
    logits = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    labels = torch.randint(0, 4, (3, 1, 8, 8))
    p, g = logits.softmax(1), torch.nn.functional.one_hot(labels[:, 0], 4).movedim(-1, 1)
    dice = 2 * (p * g).sum((2, 3)) / (p.sum((2, 3)) + g.sum((2, 3)) + 1e-10)
    loss = flow.parser.get_parsed_content("loss")
    assert loss(logits, labels).item() == pytest.approx(1 - dice.mean().item(), abs=1e-9)

    run(root, ["train", "evaluate", "paper_acdc"], **settings, **small, **device)
    with open(root / "eval" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 20 * 3
    serve = {"image_size": [32, 32], "pixdim": [5.0, 5.0], **device}
    run(root, ["inference", "network_gcl"], "infer", dataset_dir=str(like_acdc), **serve)
    assert len(list((root / "eval").glob("*/*_trans.nii.gz"))) == 74


@pytest.mark.parametrize("name, size", [("acdc", 192), ("prostate", 192), ("mmwhs", 160)])
def test_the_papers_settings_of_the_local_stage(name, size):
    parser = ConfigParser()
    parser.read_config([BUNDLES / NAME / "configs" / f"{file}.json" for file in ("pretrain_local", f"paper_{name}")])
    parser.update({"pretrained": ""})
    assert parser["image_size"] == [size, size] and parser["volumes_per_batch"] * parser["partitions"] == 12
    method = parser.get_parsed_content("method")
    assert isinstance(method.stages.network, GCLUNet) and (method.blocks, method.batch_norm) == (3, "train")
    loss = method.loss
    assert (loss.strategy, loss.region_size, loss.regions, loss.negatives) == ("lr", 3, 13, "all")
    assert loss.temperature == 0.1 and loss.projection.weight.shape == (128, 576)


@pytest.mark.parametrize("name, file, sizes", [("prostate", "prostate_{}", [17, 1, 2, 15]),
                                               ("mmwhs", "mr_train_{}_image", [10, 1, 2, 10])])  # fmt: skip
def test_the_papers_other_data_have_overlays_of_the_same_recipe(name, file, sizes, phantom, tmp_path):
    case = find_cases(phantom)[0]
    (tmp_path / "labels").mkdir()
    numbers = {number for group in released_patients(name, labelled=1).values() for number in group}
    for number, (key, folder) in itertools.product(numbers, (("image", tmp_path), ("label", tmp_path / "labels"))):
        (folder / f"{file.format(number[-2:] if name == 'prostate' else number)}.nii.gz").symlink_to(case[key])
    configs = BUNDLES / NAME / "configs"
    for stage in ("pretrain_global", "pretrain_local", "train"):
        parser = ConfigParser()
        parser.read_config([configs / f"{file}.json" for file in (stage, f"paper_{name}")])
        parser.update({"dataset_dir": str(tmp_path), "cases#label_dir": str(tmp_path / "labels")})
        split = parser.get_parsed_content("split")
        assert [len(split[part]) for part in ("pretrain", "train", "validation", "test")] == sizes
        network = parser.get_parsed_content("network_def")
        assert isinstance(network, GCLUNet) and network.output[-1].out_channels == len(parser["class_names"]) + 1
    recipe, acdc = (json.loads((configs / f"paper_{data}.json").read_text()) for data in (name, "acdc"))
    own = {"_desc_", "image_size", "pixdim", "num_classes", "class_names", "cases"}
    assert {key: value for key, value in recipe.items() if key not in own} == {
        **{key: value for key, value in acdc.items() if key not in own}, "split": {**acdc["split"], "name": name},
    }  # fmt: skip


def test_other_slice_axes_and_no_resampling_serve_all_stages(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {
        **FINETUNE,
        "dataset_dir": str(phantom),
        "slice_axis": 1,
        "pixdim": [],
        "image_size": [48, 16],
        "epochs": 1,
    }
    for stage in STAGES:
        run(root, [stage], **{key: value for key, value in settings.items() if key != "batch_size"})
    run(root, ["train"], **settings, **start(root))
    flow = run(root, ["train", "evaluate"], **settings)
    assert len(flow.evaluator.state.output[0]["pred"].shape) == 4


def test_inference_finds_its_images_and_refuses_an_empty_folder(trained, phantom, tmp_path):
    sizes = {name: SMALL[name] for name in ("device", "image_size", "pixdim", "network_def#features")}
    flow = workflow(trained, ["inference"], "infer", dataset_dir=str(phantom / "imagesTr"), **sizes)
    assert len(flow.parser.get_parsed_content("dataset")) == 9
    with pytest.raises(RuntimeError) as raised:
        workflow(trained, ["inference"], "infer", dataset_dir=str(tmp_path), **sizes)
    assert "found no .nii or .nii.gz file" in "".join(traceback.format_exception(raised.value))


def test_a_validation_volume_with_nan_is_refused_by_name(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    data = tmp_path / "data"
    shutil.copytree(phantom, data)
    settings = {**FINETUNE, "dataset_dir": str(data)}
    case = workflow(root, ["train"], **settings).parser.get_parsed_content("split")["validation"][0]
    image = nib.load(case["image"])
    values = image.get_fdata()
    values[:, :, 3] = np.nan
    nib.save(nib.Nifti1Image(values.astype(np.float32), image.affine), case["image"])
    with pytest.raises(RuntimeError) as raised:
        run(root, ["train"], **settings)
    assert f"{Path(case['image']).name}: " in "".join(traceback.format_exception(raised.value))
    assert "NaN or infinite" in "".join(traceback.format_exception(raised.value))


def test_nine_patients_pretrain_with_the_default_split(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    small = {key: value for key, value in SMALL.items() if not key.endswith("_patients")}
    with pytest.warns(UserWarning, match="hold out more patients"):
        run(root, ["pretrain_global"], dataset_dir=str(phantom), **small)
    assert (root / "models" / "model_pretrain_global.pt").is_file()


def test_the_preparation_in_python_is_that_of_the_configs(phantom):
    parser = ConfigParser()
    parser.read_config([BUNDLES / NAME / "configs" / "train.json"])
    case = {key: find_cases(phantom)[0][key] for key in ("image", "label")}
    ours = volume_transform(image_size=(96, 96), pixdim=(2.0, 2.0))(dict(case))
    theirs = parser.get_parsed_content("train#preprocessing")(dict(case))
    assert all(torch.equal(ours[key].as_tensor(), theirs[key].as_tensor()) for key in case)


# whatever drives a bundle


def test_lists_and_a_start_given_from_outside_as_monai_label_does(trained, phantom, tmp_path):
    """Label overrides both data lists and the epochs, gives no data folder, and puts its own loader first."""
    root = copy_bundle(NAME, tmp_path)
    cases = [{key: case[key] for key in ("image", "label")} for case in find_cases(phantom)]
    config = json.loads((root / "configs" / "train.json").read_text())
    loader = {"_target_": "CheckpointLoader", "load_path": f"{trained}/models/model.pt",
              "load_dict": {"model": "$@network"}, "strict": False}  # fmt: skip
    flow = ConfigWorkflow(
        config_file=f"{root}/configs/train.json", logging_file=False, workflow_type="train", bundle_root=str(root),
        **{key: value for key, value in FINETUNE.items() if not key.endswith("_patients")},
        **{"train#dataset#data": cases[:4], "validate#dataset#data": cases[4:6], "train#trainer#max_epochs": 1,
           "train#handlers": [loader, *config["train"]["handlers"]]},
    )  # fmt: skip
    flow.initialize()
    flow.run()
    assert (root / "models" / "model.pt").is_file()


@pytest.mark.parametrize("stage", STAGES)
def test_two_federated_rounds_of_pretraining(stage, trained, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    start = {"pretrained": f"{trained}/models/model_pretrain_global.pt"} if stage == "pretrain_local" else {}
    algo = MonaiAlgo(
        bundle_root=str(root),
        config_train_filename=f"configs/{stage}.json",
        config_evaluate_filename=None,
        train_kwargs={"dataset_dir": str(phantom), "bundle_root": str(root), **start, **SMALL},
    )
    algo.initialize({ExtraItems.CLIENT_NAME: "client"})
    changes = []
    for _ in range(2):
        weights = {name: value.clone() for name, value in algo.trainer.network.state_dict().items()}
        algo.train(ExchangeObject(weights=weights))
        difference = algo.get_weights().weights
        changes.append(max(float(torch.as_tensor(value).abs().max()) for value in difference.values()))
    assert all(change > 0 for change in changes)
    assert algo.trainer.state.epoch == 2
    algo.finalize()


def test_two_federated_rounds_of_finetuning_and_evaluation(trained, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {"dataset_dir": str(phantom), "bundle_root": str(root), **FINETUNE}
    algo = MonaiAlgo(bundle_root=str(root), train_kwargs=settings, eval_kwargs=settings)
    algo.initialize({ExtraItems.CLIENT_NAME: "client"})
    for _ in range(2):
        weights = {name: value.clone() for name, value in algo.trainer.network.state_dict().items()}
        algo.train(ExchangeObject(weights=weights))
        assert any(float(torch.as_tensor(value).abs().max()) > 0 for value in algo.get_weights().weights.values())
        scores = algo.evaluate(ExchangeObject(weights=weights)).metrics
        assert 0 <= scores["mean_dice"] <= 1
        evaluated = algo.evaluator.network.state_dict()
        assert all(torch.equal(value, evaluated[name]) for name, value in weights.items())
    algo.finalize()


@pytest.mark.parametrize("stage", ["pretrain_global", "train"])
def test_tracking_with_mlflow(stage, phantom, tmp_path):
    import mlflow

    root = copy_bundle(NAME, tmp_path)
    flow = workflow(root, [stage], dataset_dir=str(phantom), tracking="mlflow", output_dir=str(tmp_path / "out"),
                    experiment_name="test", **{**FINETUNE, "epochs": 1})  # fmt: skip
    flow.run()
    flow.finalize()
    database = next((tmp_path / "out").glob("*.db"))
    client = mlflow.tracking.MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("test")
    runs = client.search_runs([experiment.experiment_id])
    assert any("loss" in name.lower() for found in runs for name in found.data.metrics)


def test_bundle_load_gives_the_network_with_its_weights(trained):
    net = load(NAME, bundle_dir=str(trained.parent), source="github", workflow_type="train",
               net_override={"features": [4, 8, 8, 8, 8, 4]})  # fmt: skip
    state = torch.load(trained / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def options(**settings) -> list[str]:
    return [item for name, value in settings.items() for item in (f"--{name}", str(value))]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
def test_two_processes_train_and_write_one_file(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    small = {key: value for key, value in FINETUNE.items() if key != "device"} | {"epochs": 1, "dataset_dir": phantom}
    for stages in (["pretrain_global", "multi_gpu_train"],
                   ["pretrain_local", "local_strategy_ld", "multi_gpu_train"], ["train", "multi_gpu_train"],
                   ["train", "evaluate", "multi_gpu_train"]):  # fmt: skip
        files = str([f"{root}/configs/{name}.json" for name in stages])
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2",
                   "-m", "monai.bundle", "run", "--config_file", files]  # fmt: skip
        settings = {**small, "bundle_root": root, "volumes_per_batch": 2}
        done = subprocess.run(command + options(**settings), env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for stage in STAGES:
        state = torch.load(root / "models" / f"model_{stage}.pt", weights_only=True)
        assert not any(name.startswith("module.") for name in state)
    with open(root / "eval" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, weights", [("pretrain_global", ["model_pretrain_global.pt"]), ("train", ["model_final.pt", "model.pt"])]
)
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(stage, weights, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {key: value for key, value in FINETUNE.items() if key != "device"}
    settings |= {"epochs": 4, "batches_per_epoch": 8, "dataset_dir": phantom, "bundle_root": root, "num_workers": 1}
    command = [*COMMAND, "--config_file", f"{root}/configs/{stage}.json", *options(**settings)]

    subprocess.run(command, env=environment(), check=True, capture_output=True)
    (root / "models").rename(root / "models_whole")

    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    states = root / "models" / f"resume_{stage}"
    while not list(states.glob("resume_checkpoint_*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "models" / weights[0]).exists()

    done = subprocess.run([*command, "--resume", "True"], env=environment(), check=True, capture_output=True, text=True)
    assert "resumed" in done.stdout
    for name in weights:
        whole = torch.load(root / "models_whole" / name, weights_only=True)
        resumed = torch.load(root / "models" / name, weights_only=True)
        assert all(torch.equal(value, resumed[key]) for key, value in whole.items()), name
