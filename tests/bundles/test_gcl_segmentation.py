# SPDX-License-Identifier: Apache-2.0
"""The GCL bundle: every stage on a small phantom, and whatever drives a bundle besides."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, load, verify_net_in_out
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.nets import BasicUNet
from workflows import BUNDLES, SMALL, copy_bundle, run, workflow

from monai_cl_ext.data import find_cases, write_phantom
from monai_cl_ext.networks import GCLUNet

NAME = "gcl_segmentation"
FINETUNE = {**SMALL, "batch_size": 4}
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
    run(root, ["pretrain_global"], **settings, **SMALL)
    run(root, ["train"], **settings, **FINETUNE, pretrained=f"{root}/models/model_pretrain_global.pt")
    run(root, ["train", "evaluate"], **settings, **FINETUNE)
    sizes = {name: SMALL[name] for name in ("device", "image_size", "pixdim", "network_def#features")}
    tests = ConfigParser()
    tests.read_config([f"{root}/configs/train.json"])
    tests.update({**settings, **FINETUNE, "bundle_root": str(root)})
    images = [case["image"] for case in tests.get_parsed_content("split")["test"]]
    run(root, ["inference"], "infer", **settings, **sizes, datalist=[str(image) for image in images])
    return root


def configs() -> list[str]:
    return sorted(path.stem for path in (BUNDLES / NAME / "configs").glob("*.json"))


# files, metadata, the zoo's checks


def test_the_files_that_the_zoo_requires_are_there():
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json", "configs/logging.conf",
                 "docs/README.md", "docs/data_license.txt"):  # fmt: skip
        assert (BUNDLES / NAME / name).is_file(), name


def test_metadata_is_valid_and_its_version_is_in_the_changelog():
    schema = json.loads((Path(__file__).parents[1] / "schema" / "meta_schema_20240725.json").read_text())
    metadata = json.loads((BUNDLES / NAME / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, schema)
    assert metadata["schema"].endswith("meta_schema_20240725.json")
    assert metadata["version"] in metadata["changelog"]
    assert metadata["supported_apps"] == {}
    for stage in metadata["pretrain_stages"]:
        assert (BUNDLES / NAME / "configs" / f"{stage}.json").is_file()
        assert f"{stage}_data_format" in metadata


def test_own_classes_are_named_in_full_and_inference_names_none_of_them():
    for name in configs():
        text = (BUNDLES / NAME / "configs" / f"{name}.json").read_text()
        assert all("." in target for target in re.findall(r'"_target_": "([^"]+)"', text)), name
    assert "monai_cl_ext" not in (BUNDLES / NAME / "configs" / "inference.json").read_text()


def test_train_evaluate_and_inference_prepare_an_image_alike():
    def image_chain(preprocessing):
        chain = json.loads(json.dumps(preprocessing["transforms"]))
        for item in chain:
            both = item["keys"] == ["image", "label"]
            item["keys"] = "image"
            if both and "mode" in item:
                item["mode"] = item["mode"][0]
        return chain

    read = {name: json.loads((BUNDLES / NAME / "configs" / f"{name}.json").read_text())
            for name in ("pretrain_global", "train", "inference")}  # fmt: skip
    reference = image_chain(read["inference"]["preprocessing"])
    assert image_chain(read["train"]["train"]["preprocessing"]) == reference
    assert image_chain(read["train"]["validate"]["preprocessing"]) == reference
    assert image_chain(read["pretrain_global"]["train"]["preprocessing"]) == reference


def test_resume_guards_every_number_that_shapes_a_run():
    free = {"resume", "val_interval", "log_interval", "num_workers", "num_classes", "validation_patients",
            "test_patients", "split_seed", "draw", "labelled_patients"}  # fmt: skip
    for name in ("pretrain_global", "train"):
        config = json.loads((BUNDLES / NAME / "configs" / f"{name}.json").read_text())
        numbers = {key for key, value in config.items() if isinstance(value, (int, float))} | {"image_size", "pixdim"}
        settings = set(config["train"]["handlers"][-1]["settings"])
        assert numbers - free <= settings, name


# the stages


def test_every_stage_leaves_its_files(trained):
    encoder = torch.load(trained / "models" / "model_pretrain_global.pt", weights_only=True)
    assert set(encoder) == set(BasicUNet(2, 1, 4, features=[4, 8, 8, 8, 8, 4], norm="batch").state_dict())
    assert (trained / "models" / "model.pt").is_file() and (trained / "models" / "model_final.pt").is_file()
    assert list((trained / "eval" / "pretrain_global").glob("events.out.tfevents*"))


def test_probe_and_effective_rank_are_in_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "eval" / "pretrain_global"))
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


def test_finetuning_starts_from_the_pretrained_encoder(trained, phantom):
    flow = workflow(trained, ["train"], dataset_dir=str(phantom), **FINETUNE, seed=1,
                    pretrained=f"{trained}/models/model_pretrain_global.pt")  # fmt: skip
    pretrained = torch.load(trained / "models" / "model_pretrain_global.pt", weights_only=True)
    state = flow.parser.get_parsed_content("network").state_dict()
    name = "down_4.convs.conv_0.conv.weight"
    assert torch.equal(state[name], pretrained[name])
    assert not torch.equal(state["upcat_1.convs.conv_0.conv.weight"], pretrained["upcat_1.convs.conv_0.conv.weight"])


def test_weights_of_another_network_are_refused(trained, phantom):
    settings = {key: value for key, value in FINETUNE.items() if key != "network_def#features"}
    pretrained = f"{trained}/models/model_pretrain_global.pt"
    with pytest.raises(RuntimeError, match="Failed to instantiate") as raised:  # MONAI wraps what a component raises
        workflow(trained, ["train", "network_gcl"], dataset_dir=str(phantom), pretrained=pretrained, **settings)
    assert "model_pretrain_global.pt does not fit GCLUNet" in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("overlay", ["strategy_gr", "strategy_gd", "strategy_gd_minus", "network_gcl"])
def test_pretraining_runs_with_the_overlay(overlay, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    small = {key: value for key, value in SMALL.items() if overlay != "network_gcl" or key != "network_def#features"}
    flow = run(root, ["pretrain_global", overlay], dataset_dir=str(phantom), **{**small, "epochs": 1})
    assert (root / "models" / "model_pretrain_global.pt").is_file()
    if overlay == "network_gcl":
        assert isinstance(flow.network_def, GCLUNet)


def test_the_gcl_network_serves_all_stages(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {key: value for key, value in FINETUNE.items() if key != "network_def#features"}
    settings |= {"dataset_dir": str(phantom), "epochs": 1}
    run(root, ["train", "network_gcl"], **settings)
    run(root, ["train", "evaluate", "network_gcl"], **settings)
    assert (root / "eval" / "metrics.csv").is_file()


def test_the_papers_settings_build_a_run_on_files_named_like_acdc(phantom, tmp_path):
    """The released lists name 52 patients; a phantom under those names stands in for the images."""
    from monai_cl_ext.data import released_patients

    root = copy_bundle(NAME, tmp_path)
    folder = tmp_path / "acdc"
    cases = find_cases(phantom)
    (folder / "labels").mkdir(parents=True)
    names = {name for group in released_patients("acdc", labelled=1, combination="c1").values() for name in group}
    for name in names:
        for frame in ("frame01", "frame04"):
            target = folder / f"patient{name}_{frame}.nii.gz"
            if frame == "frame01" or name == "090":
                target.symlink_to(cases[0]["image"])
                (folder / "labels" / target.name).symlink_to(cases[0]["label"])
    parser = ConfigParser()
    parser.read_config([f"{root}/configs/pretrain_global.json", f"{root}/configs/paper_acdc.json"])
    parser.update(
        {"cases#dataset_dir": str(folder), "cases#label_dir": str(folder / "labels"), "dataset_dir": str(folder)}
    )
    split = parser.get_parsed_content("split")
    assert len(split["pretrain"]) == 52 and len(split["test"]) == 20 and len(split["validation"]) == 2
    assert [case["patient"] for case in split["train"]] == ["patient002"]
    assert isinstance(parser.get_parsed_content("network_def"), GCLUNet)


# whatever drives a bundle


def test_two_federated_rounds_of_pretraining(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    algo = MonaiAlgo(
        bundle_root=str(root),
        config_train_filename="configs/pretrain_global.json",
        config_evaluate_filename=None,
        train_kwargs={"dataset_dir": str(phantom), "bundle_root": str(root), **SMALL},
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


def test_verify_net_in_out_and_torchscript_export(trained, tmp_path):
    root, override = str(trained), {"network_def#features": [4, 8, 8, 8, 8, 4]}
    files = {"meta_file": f"{root}/configs/metadata.json", "config_file": f"{root}/configs/inference.json"}
    verify_net_in_out("network_def", **files, device="cpu", n=4, **override)
    exported = tmp_path / "model.ts"
    ckpt_export("network_def", filepath=str(exported), ckpt_file=f"{root}/models/model.pt", **files, **override)
    assert torch.jit.load(str(exported))(torch.zeros(1, 1, 32, 32)).shape == (1, 4, 32, 32)


def options(**settings) -> list[str]:
    return [item for name, value in settings.items() for item in (f"--{name}", str(value))]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
def test_two_processes_train_and_write_one_file(phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    small = {key: value for key, value in FINETUNE.items() if key != "device"} | {"epochs": 1, "dataset_dir": phantom}
    for stages in (["pretrain_global", "multi_gpu_pretrain"], ["train", "multi_gpu_train"],
                   ["train", "evaluate", "multi_gpu_evaluate"]):  # fmt: skip
        files = str([f"{root}/configs/{name}.json" for name in stages])
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2",
                   "-m", "monai.bundle", "run", "--config_file", files]  # fmt: skip
        settings = {**small, "bundle_root": root, "volumes_per_batch": 2}
        done = subprocess.run(command + options(**settings), env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    state = torch.load(root / "models" / "model_pretrain_global.pt", weights_only=True)
    assert not any(name.startswith("module.") for name in state)
    with open(root / "eval" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, weights", [("pretrain_global", "model_pretrain_global.pt"), ("train", "model_final.pt")]
)
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(stage, weights, phantom, tmp_path):
    root = copy_bundle(NAME, tmp_path)
    settings = {key: value for key, value in FINETUNE.items() if key != "device"}
    settings |= {"epochs": 4, "batches_per_epoch": 8, "dataset_dir": phantom, "bundle_root": root}
    command = [*COMMAND, "--config_file", f"{root}/configs/{stage}.json", *options(**settings)]

    subprocess.run(command, env=environment(), check=True, capture_output=True)
    whole = torch.load(root / "models" / weights, weights_only=True)
    (root / "models").rename(root / "models_whole")

    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    states = root / "models" / f"resume_{stage}"
    while not list(states.glob("resume_checkpoint_*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / "models" / weights).exists()

    done = subprocess.run([*command, "--resume", "True"], env=environment(), check=True, capture_output=True, text=True)
    assert "resumed" in done.stdout
    resumed = torch.load(root / "models" / weights, weights_only=True)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
