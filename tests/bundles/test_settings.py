# SPDX-License-Identifier: Apache-2.0
"""What is set from outside, in every bundle: resume guards what shapes a run, a device may be text."""

import json
import re
from datetime import timedelta

import pytest
import torch
from workflows import parsed, read

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.data import slice_partitions
from monai_cl_ext.fingerprint import fingerprint

STAGES = [
    (name, stage)
    for name in bundle_names()
    for kind in ("pretrain_stages", "train_stages")
    for stage in read(name, "metadata")[kind]
]
FREE = {
    "imports", "stage", "bundle_root", "ckpt_dir", "output_dir", "dataset_dir", "device", "is_not_rank0", "module",
    "network", "trained", "resume", "val_interval", "log_interval", "num_workers", "initialize", "run",
    "trained_blocks",  # what the file of weights tells
    "validation_patients", "test_patients", "split_seed", "labelled_patients", "draw", "table",  # as patients
    "columns", "adversary", "policies",  # components
    "spatial_dims", "foreground", "patches_per_volume",  # of patches, tested with them
    "memory_format",
    "superpixel_weights",  # a file, of which the content is compared
}  # fmt: skip
POLICY = {"color", "limits", "mirror_axis", "mirror_probability"}
"""What overlays with policies read; some bundles' own policies do not."""
CHANGES = {
    "strategy": "gr", "local_strategy": "ld", "regions": 9, "negatives": "released", "encoder_batch_norm": "eval",
    "base_temperature": 0.07, "normalize": "superpixel", "superpixel_backend": "torch",
    "level": -2, "blocks": 2, "pretext": "inpainting", "box": 0.3, "patch": 0.1, "probe": "finetune", "momentum": 0.9,
    "pretrained": "", "weights": "voco", "pretrained_blocks": 1, "limits": [0, 2], "num_heads": 4, "patch_size": 4,
    "hidden_size": 96, "slice_axis": 1, "image_size": [64, 64], "local_crop": [0.1, 0.4], "area": [0.3, 0.9],
    "window": [-160, 240], "decoders": 2, "maximum": 10.0, "warm_up_steps": 7,
    "channels": 1, "view_superpixels": {"_target_": "torch.nn.Identity"}, "learning_rate": 0.123, "batch_size": 22,
}  # fmt: skip
"""Other values of settings that cannot be any number."""


class Data:
    """Stands for the slices or the pictures of both parts, of which these tests change the partitions alone."""

    patients = [f"p{number}" for number in range(6)]
    data = [{"image": name, "patient": name} for name in patients]
    volume = torch.arange(6).repeat_interleave(8)
    position = ((torch.arange(8) + 1) / 8).repeat(6)
    neighborhood, place = volume, position

    def __init__(self, partitions: int = 4) -> None:
        self.partition = slice_partitions(8, partitions).repeat(6)

    def __len__(self) -> int:
        return 48


def guarded(bundle: str, stage: str, settings: dict) -> object:
    """What resume compares."""
    data = {"train#dataset": Data(settings.get("partitions", 4)), "validate#dataset": Data(), "cases": []}
    if bundle.endswith("classification") and stage == "train":
        data |= {"class_names": ["a", "b"]}
    if "unlabelled" in read(bundle, stage):
        data["unlabelled"] = Data.data
    start = {name: "" for name in read(bundle, stage) if name == "pretrained" or name.startswith("model_")}
    parser = parsed(bundle, stage, **{**data, **start, "device": "cpu", **settings})
    (resume,) = (each for each in parser["train#handlers"] if each["_target_"].endswith(".Resume"))
    assert resume["settings"] == "@train#settings"
    return fingerprint(parser.get_parsed_content("train#settings"))


def other(name: str, value: object) -> object:
    """Another value of a setting."""
    if name in CHANGES:
        return CHANGES[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1  # of the axes too, where -1 is 1
    if isinstance(value, float):
        return value / 2
    assert isinstance(value, list) and value, (name, value)
    return [other("", each) for each in value]


@pytest.mark.slow
@pytest.mark.parametrize("bundle, stage", [
    (name, stage) for name, stage in STAGES
    if not stage.startswith("train") or name in ("gcl_segmentation", "dino_classification")
    or not read(name, "metadata")["pretrain_stages"]
])  # fmt: skip
def test_resume_guards_every_setting_that_shapes_a_run(bundle, stage):
    config = read(bundle, stage)
    plain = {name: value for name, value in config.items() if not isinstance(value, dict) and name not in FREE}
    follows = {name for name, value in plain.items() if isinstance(value, str) and re.search("[$@%]", value)}
    asked = {name: value for name, value in plain.items() if name in CHANGES or name not in follows}
    used = {name for name in asked if re.search(rf"@{name}\b", json.dumps(config))}
    assert set(asked) - used <= POLICY and len(used) > 5
    tasks = {"box": "inpainting", "swaps": "context_restoration", "patch": "context_restoration"}
    starts = {"pretrained", "weights"}  # which files there are is not for this test
    assert starts & used <= set(config["train"]["settings"])
    for name in sorted(name for name in used - starts if not name.startswith("model_")):
        settings = {"pretext": tasks[name]} if name in tasks and bundle.startswith("pretext") else {}
        settings |= {"local_crops": 1} if name == "local_crop" else {}  # without any the crop shapes nothing
        value = 32 if name == "image_size" and bundle == "dino_classification" else other(name, asked[name])
        changed = guarded(bundle, stage, {**settings, name: value})
        assert changed != guarded(bundle, stage, settings), name


@pytest.mark.parametrize("bundle, stage, own", [
    ("supervised_segmentation", "train", {}), ("simclr_segmentation", "pretrain", {}),
    ("bcp_segmentation", "train", {"unlabelled_patches#per_volume": 7}),
])  # fmt: skip
def test_resume_guards_how_patches_are_drawn(bundle, stage, own):
    volumes = {"spatial_dims": 3, "image_size": [32, 32, 32], "pixdim": [2.0, 2.0, 2.0]}
    kept = guarded(bundle, stage, volumes)
    for change in ({"foreground": 0.5}, {"patches_per_volume": 7}, {"pixdim": [2.0, 2.0, 3.0]}, own):
        assert not change or guarded(bundle, stage, volumes | change) != kept, change
    assert guarded(bundle, stage, {}) != kept


@pytest.mark.parametrize("bundle, stage", STAGES)
@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_device_may_be_text(bundle, stage, device):
    """As MONAI Label and the command line give it."""
    loader = read(bundle, stage)["train"]["dataloader"]["pin_memory"]
    parser = parsed(bundle, stage, device=device, pinned=loader, train={}, validate={})
    assert parser.get_parsed_content("pinned") is (device != "cpu")
    for config in (stage, "evaluate", "inference", "multi_gpu_train"):
        assert "@device." not in json.dumps(read(bundle, config)), config


@pytest.mark.parametrize("bundle, stage", STAGES)
def test_every_stage_hands_amp_to_its_trainer(bundle, stage):
    config = read(bundle, stage)
    assert config["amp"] is False and config["train"]["trainer"]["amp"] == "@amp"


@pytest.mark.parametrize("bundle", bundle_names())
def test_one_overlay_serves_several_gpus_at_every_stage(bundle):
    single = [[stage] for name, stage in STAGES if name == bundle]
    for stages in (*single, ["train", "evaluate"]):
        parser = parsed(bundle, *stages, "multi_gpu_train")
        assert parser["trained"]["module"] == "@module" and "@trained" not in parser["module"]
        assert parser["run"] == parsed(bundle, *stages)["run"]
        assert parser["validate#dataloader#sampler"] == "@validate#sampler"
        assert parser["finalize"] == ["$torch.distributed.destroy_process_group()"]


def test_nodes_wait_until_the_slowest_has_filled_its_store(monkeypatch):
    """Longer than the ten minutes of NCCL and the thirty of gloo."""
    asked = []
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend, timeout: asked.append(timeout))
    parsed("simclr_segmentation", "pretrain", "multi_gpu_train").get_parsed_content("initialize#0")
    assert asked == [timedelta(days=1)]
