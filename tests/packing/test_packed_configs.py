# SPDX-License-Identifier: Apache-2.0
"""What of a run's configuration goes into a packed bundle."""

import copy
import json

import pytest
from monai.bundle import ConfigParser
from workflows import copy_bundle, parsed, read

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.packing.configs import packed_configs
from monai_cl_ext.packing.references import refuse_incomplete
from monai_cl_ext.packing.trained_run import TrainedRun
from monai_cl_ext.study.bundles import Bundle

NAME = "gcl_segmentation"


def run_of(tmp_path, config):
    return TrainedRun(Bundle(copy_bundle(NAME, tmp_path)), config, {}, None, [])


def test_processes_and_trackers_are_those_of_one_run(tmp_path):
    config = parsed(
        NAME, "train", "multi_gpu_train", "track_wandb", learning_rate=0.5, pretrained="x.pt", weights="voco"
    ).get()
    config |= {"tracking_uri": "sqlite:////home/me/mlruns.db", "run_name": None}
    tracker = {"_target_": "MLFlowHandler", "tracking_uri": "/home/me/mlruns"}
    for part in ("train", "validate"):
        config[part]["handlers"] = [*config[part]["handlers"], tracker]
    train = packed_configs(run_of(tmp_path, config))["train"]
    expected = read(NAME, "train") | {"learning_rate": 0.5}
    assert train == expected and all(part in str(config) for part in ("DistributedDataParallel", "TrackWandB"))


def test_each_config_gets_what_it_shares_with_the_training(tmp_path):
    config = copy.deepcopy(read(NAME, "train")) | {"image_size": [48, 64], "slice_axis": 0, "device": "cuda:7"}
    config["network_def"] = {"_target_": "monai.networks.nets.UNet", "spatial_dims": "@spatial_dims"}
    configs = packed_configs(run_of(tmp_path, config))
    for name in ("inference", "train"):
        assert configs[name]["image_size"] == [48, 64] and configs[name]["slice_axis"] == 0
        assert configs[name]["network_def"] == config["network_def"]
        assert configs[name]["device"] == read(NAME, name)["device"]
    for stage in ("pretrain_global", "pretrain_local"):
        assert configs[stage]["image_size"] == [48, 64] and configs[stage]["stage"] == stage
    assert configs["evaluate"] == read(NAME, "evaluate")


def test_volumes_that_were_given_are_left_out(tmp_path):
    listed = [{"image": "/scans/jane_roe.nii.gz", "label": "/scans/jane_roe_label.nii.gz", "patient": "p1"}]
    handler = {"_target_": "CheckpointLoader", "load_path": "/scans/model.pt", "load_dict": {"model": "$@network"}}
    config = copy.deepcopy(read(NAME, "train"))
    for part in ("train", "validate"):  # as MONAI Label gives them
        config[part]["dataset"]["data"] = listed
    config["train"]["handlers"] = [handler, *config["train"]["handlers"]]
    assert packed_configs(run_of(tmp_path, config))["train"] == read(NAME, "train")


def test_an_overlay_keeps_a_data_set_of_another_kind_with_all_that_it_refers_to(tmp_path):
    config = parsed(NAME, "train", "self_training").get()
    packed = packed_configs(run_of(tmp_path, config))["train"]
    assert packed["train"] == config["train"] and packed["unlabelled"] == config["unlabelled"]
    assert refuse_incomplete(ConfigParser(packed), "run")
    listed = copy.deepcopy(config) | {"unlabelled": [{"image": "/scans/jane_roe.nii.gz"}]}
    listed["train"]["labelled"]["data"] = listed["unlabelled"]
    packed = packed_configs(TrainedRun(run_of(tmp_path / "listed", config).bundle, listed, {}, None, []))["train"]
    assert "jane" not in str(packed)
    with pytest.raises(ValueError, match="refers to unlabelled, which the configuration lacks"):
        refuse_incomplete(ConfigParser(packed), "run")


@pytest.mark.parametrize(
    "name, value",
    [
        ("image_size", [48, 64]), ("window", [-160, 240]), ("num_classes", 2),
        ("network_def", {"_target_": "monai.networks.nets.UNet", "spatial_dims": "@spatial_dims"}),
        ("scale_intensities", {"_target_": "monai.transforms.ScaleIntensityd", "keys": "image"}),
    ],
)  # fmt: skip
def test_what_was_changed_in_train_json_alone_reaches_the_other_configs(tmp_path, name, value):
    run = run_of(tmp_path, read(NAME, "train") | {name: value})
    path = run.bundle.folder / "configs" / "train.json"
    path.write_text(json.dumps(run.config))
    configs = packed_configs(run)
    for stage in ("train", "inference", *(["pretrain_global"] if name in read(NAME, "pretrain_global") else [])):
        assert configs[stage][name] == value
        assert configs[stage].keys() == read(NAME, stage).keys()


@pytest.mark.parametrize("bundle", bundle_names())
def test_without_any_change_the_configs_are_the_bundles(tmp_path, bundle):
    classes = read(bundle, "inference").get("default_class_names", [])
    record = {"settings": {"class_names": classes}}
    run = TrainedRun(Bundle(copy_bundle(bundle, tmp_path)), read(bundle, "train"), record, None, [])
    for name, content in packed_configs(run).items():
        told = {"num_classes": len(classes)} if classes and name == "inference" else {}
        assert content == read(bundle, name) | told, name


@pytest.mark.parametrize(
    "bundle, changed, inner",
    [
        (NAME, "validate#preprocessing", "#transforms#3#mode"), (NAME, "validate#inferer", ""),
        ("dino_classification", "standardization", "#mean"),
    ],
)  # fmt: skip
def test_a_change_that_inference_would_not_know_is_refused(tmp_path, bundle, changed, inner):
    config = parsed(bundle, "train", **{f"{changed}{inner}": "another"}).get()
    del config["_meta_"]
    root, record = copy_bundle(bundle, tmp_path), {"settings": {"class_names": ["a", "b"]}}
    with pytest.raises(ValueError, match=f"ran with another {changed}, which"):
        packed_configs(TrainedRun(Bundle(root), config, record, None, []))
    (root / "configs" / "train.json").write_text(json.dumps(config))  # who writes it there writes inference.json too
    assert packed_configs(TrainedRun(Bundle(root), config, record, None, []))["train"] == config
