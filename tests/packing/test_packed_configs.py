# SPDX-License-Identifier: Apache-2.0
"""What of a run's configuration goes into a packed bundle."""

import copy

from workflows import copy_bundle, parsed, read

from monai_cl_ext.packing.configs import packed_configs
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
