# SPDX-License-Identifier: Apache-2.0
"""metadata.json of a packed bundle: what it predicts, by which versions it was made, and how well it does."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from monai_cl_ext import data
from monai_cl_ext.bundles.build import OWN_PACKAGE
from monai_cl_ext.packing.configs import Configs
from monai_cl_ext.packing.scores import Scores
from monai_cl_ext.packing.trained_run import TrainedRun
from monai_cl_ext.recipes.folder import metadata_of

MODULE = "monai_cl_ext"
VERSION_KEYS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


def packed_metadata(run: TrainedRun, configs: Configs, size: list[int], scores: Scores | None) -> dict[str, Any]:
    """The content of metadata.json, without what is known of the weights.

    Args:
        run: the training.
        configs: of the packed bundle.
        size: of an image that the network takes, without batch and channels.
        scores: of its evaluation.
    """
    known = copy.deepcopy(run.bundle.read("metadata"))
    settings = run.training["settings"]
    content = known | metadata_of(
        known,
        class_names(run),
        known["network_data_format"]["inputs"]["image"]["modality"],
        "; ".join(f"{part}: {told}" for part, told in parts_of(run).items()),
        settings,
    )
    formats = content["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        tensor["spatial_shape"] = list(size)
    versions = run.training["versions"]
    content |= {key: versions[module].partition("+")[0] for key, module in VERSION_KEYS.items()}
    content["eval_metrics"] = {} if scores is None else scores.metrics()
    content["task"] = f"Segmentation of {', '.join(class_names(run))}"
    content["description"] = f"{_architecture(configs['inference'])}. Its training: {known['description']}"
    content["changelog"] = {content["version"]: f"trained by {known['name']}"}
    required = content["required_packages_version"]
    content["training_packages_version"] = dict(required)
    if not needs_own_package(configs["inference"]):
        content["required_packages_version"] = {key: required[key] for key in required if key != OWN_PACKAGE}
    return content


def parts_of(run: TrainedRun) -> dict[str, str]:
    """The parts of the training's data, each in a few words."""
    cards = run.training["data"]
    return {part: f"{card['volumes']} volume(s) of {card['patients']} patient(s)" for part, card in cards.items()}


def class_names(run: TrainedRun) -> list[str]:
    """Names of the foreground classes: of the evaluation, else of the data set, else their numbers."""
    number = int(run.config["num_classes"])
    told = None if run.evaluation is None else run.evaluation["settings"].get("class_names")
    known = told or data.class_names(str(run.config["dataset_dir"]), number)
    return list(known or (f"class {label}" for label in range(1, number)))


def needs_own_package(inference: Mapping[str, Any]) -> bool:
    """Whether inference runs nowhere without this package: by itself, or for a network of its own."""
    return "on_monai_alone" not in inference or MODULE in json.dumps(inference["network_def"])


def _architecture(inference: Mapping[str, Any]) -> str:
    return f"{inference['network_def']['_target_'].rpartition('.')[2]} in {inference['spatial_dims']}D"
