# SPDX-License-Identifier: Apache-2.0
"""The configs of a packed bundle: those of its folder with the settings of the run that trained it."""

from __future__ import annotations

import copy
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.bundles.layers import ordered_config
from monai_cl_ext.packing.trained_run import TrainedRun

PLACES = ("bundle_root", "ckpt_dir", "output_dir", "dataset_dir", "device")
OWN_TO_THE_RUN = (
    *PLACES, "cases", "split", "labelled", "unlabelled", "labelled_patients", "draw", "pretrained", "weights", "resume",
    "store", "wandb", "tracking_uri", "experiment_name", "run_name", "save_execute_config",
)  # fmt: skip
"""Ids of train.json that tell where, on which patients and how tracked it ran: the packed one has the bundle's."""
TRACKED = ("train", "validate")  # to whose handlers a tracker is added
TRACKERS = ("MLFlowHandler", "TrackWandB")
Configs = dict[str, dict[str, Any]]


def packed_configs(run: TrainedRun) -> Configs:
    """Each config by its name, but metadata.

    What train.json and inference.json of the folder say alike, such as ``network_def`` or ``image_size``, is one thing,
    and inference gets what the training had of it; so do earlier stages, and evaluate.json what the
    evaluation had. train.json trains on other data as this one was trained.
    """
    bundle = run.bundle
    train, inference = bundle.read("train"), bundle.read("inference")
    baked = {
        name: run.config[name]
        for name, value in inference.items()
        if name in run.config and name not in PLACES and train.get(name) == value
    }
    configs = {
        "train": _trained(run),
        "inference": {**inference, **baked},
        "evaluate": {**bundle.read("evaluate"), **_evaluated(run)},
    }
    for stage in (*bundle.pretrain_stages, *bundle.train_stages[:-1]):
        content = bundle.read(stage)
        configs[stage] = content | {
            name: value for name, value in baked.items() if content.get(name, value) == train[name]
        }
    return {name: dict(ordered_config(content)) for name, content in configs.items()}


def _trained(run: TrainedRun) -> dict[str, Any]:
    """What the training ran by, for one process and other data."""
    bundle = ConfigParser(copy.deepcopy(run.bundle.read("train")))
    trained = ConfigParser(copy.deepcopy(run.config))
    for name in (*OWN_TO_THE_RUN, *run.bundle.read("multi_gpu_train")):
        parent, _, last = name.rpartition("#")
        if name in bundle:
            trained[name] = bundle[name]
        elif name in trained:
            del trained[parent][last]
    content: dict[str, Any] = {name: value for name, value in trained.get().items() if name != "_meta_"}
    for part in TRACKED:
        handlers = content.get(part, {}).get("handlers", [])
        handlers[:] = [handler for handler in handlers if not _is_tracker(handler)]
    return content


def _is_tracker(handler: dict[str, Any]) -> bool:
    return any(name in str(handler.get("_target_")) for name in TRACKERS)


def _evaluated(run: TrainedRun) -> dict[str, Any]:
    """The settings of the evaluation that are plain values of evaluate.json."""
    told = {} if run.evaluation is None else run.evaluation["settings"]
    return {name: told[name] for name in ("class_names", "use_spacing") if name in told}
