# SPDX-License-Identifier: Apache-2.0
"""The configs of a packed bundle: those of its folder with the settings of the run that trained it."""

from __future__ import annotations

import copy
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.bundles.layers import ordered_config
from monai_cl_ext.packing.evaluations import SERVED_APART, plain
from monai_cl_ext.packing.trained_run import TrainedRun
from monai_cl_ext.recipes.inference_settings import PLACES, of_the_training
from monai_cl_ext.study.handover import literal

TRACKED = ("wandb", "tracking_uri", "experiment_name", "run_name", "save_execute_config")
OWN_TO_THE_DATA = (
    "cases", "split", "labelled", "unlabelled", "labelled_patients", "draw", "train#dataset#data",
    "train#labelled#data", "train#unlabelled#data", "validate#dataset#data", "table", "columns", "pictures",
    "class_names",
)  # fmt: skip
OWN_TO_THE_RUN = (*PLACES, *TRACKED, *OWN_TO_THE_DATA, "pretrained", "weights", "resume", "store")
"""Ids of train.json that tell where, on which patients and how tracked it ran: the packed one has the bundle's.

Those of the data that the bundle lacks, as an overlay brought them, stay as far as they only say how cases are found.
"""
HANDLED = ("train", "validate")  # to whose handlers a tracker is added, and by MONAI Label weights to begin with
OWN_HANDLERS = ("MLFlowHandler", "TrackWandB", "CheckpointLoader")
OWN_TO_THE_EVALUATION = ("class_names", "use_spacing", "neighbors", "neighbor_temperature", "level", "resamples")
"""Settings of evaluations that are plain values of evaluate.json."""
Configs = dict[str, dict[str, Any]]


def packed_configs(run: TrainedRun) -> Configs:
    """Each config by its name, but metadata.

    What both training and inference have, such as ``network_def`` or ``image_size``, is one thing, and inference.json
    gets what the training had of it, whether that was given or stood in train.json alone. Earlier stages get it where
    they said the same as the folder's train.json or inference.json, and evaluate.json gets what the evaluation had.
    train.json trains on other data as this one was trained.

    Raises:
        ValueError: when the training prepared images, or made predictions of them, in a way that inference.json cannot
            get.
    """
    bundle = run.bundle
    _refuse_other_predictions(run)
    train, inference = bundle.read("train"), bundle.read("inference")
    baked = of_the_training(run.config, inference) | run.kind.inference(run.settings)
    configs = {
        "train": _trained(run),
        "inference": {**inference, **baked},
        "evaluate": _evaluated(run),
    }
    for stage in (*bundle.pretrain_stages, *bundle.train_stages[:-1]):
        content = bundle.read(stage)
        configs[stage] = content | {
            name: value
            for name, value in baked.items()
            if name in content and content[name] in (train.get(name), inference[name])
        }
    return {name: dict(ordered_config(content)) for name, content in configs.items()}


def _refuse_other_predictions(run: TrainedRun) -> None:
    own, trained = ConfigParser(copy.deepcopy(run.bundle.read("train"))), ConfigParser(copy.deepcopy(run.config))
    own.resolve_macro_and_relative_ids()
    changed = [name for name in SERVED_APART if name in own and plain(own[name]) != plain(trained.get(name))]
    if changed:
        raise ValueError(
            f"{run.bundle.path('train')}: the training ran with another {' and '.join(changed)}, which inference.json "
            "has in a form of its own; make the change in both configs of this folder, and pack again"
        )


def _trained(run: TrainedRun) -> dict[str, Any]:
    """What the training ran by, for one process and other data."""
    bundle = ConfigParser(copy.deepcopy(run.bundle.read("train")))
    trained = ConfigParser(copy.deepcopy(run.config))
    for name in (*OWN_TO_THE_RUN, *run.bundle.read("multi_gpu_train")):
        parent, _, last = name.rpartition("#")
        if name in trained and name in bundle:
            trained[name] = bundle[name]
        elif name in trained and not (name in OWN_TO_THE_DATA and _finds(trained[name])):
            del trained[parent][last]
    content: dict[str, Any] = {name: value for name, value in trained.get().items() if name != "_meta_"}
    for part in HANDLED:
        handlers = content.get(part, {}).get("handlers", [])
        handlers[:] = [handler for handler in handlers if not _is_of_the_run(handler)]
    return content


def _finds(value: Any) -> bool:
    """Whether it says how cases are found, and not which: a component, a reference or an expression."""
    return "_target_" in value if isinstance(value, dict) else isinstance(value, str) and value[:1] in ("@", "$")


def _is_of_the_run(handler: dict[str, Any]) -> bool:
    return any(name in str(handler.get("_target_")) for name in OWN_HANDLERS)


def _evaluated(run: TrainedRun) -> dict[str, Any]:
    """evaluate.json with the settings of the evaluation."""
    content = run.bundle.read("evaluate")
    told = {} if run.evaluation is None else run.evaluation["settings"]
    known = {name: told[name] for name in OWN_TO_THE_EVALUATION if name in told and name in content}
    if names := known.get("class_names"):
        known["class_names"] = [literal(str(name)) for name in names]
    return content | known
