# SPDX-License-Identifier: Apache-2.0
"""metadata.json of a packed bundle: what it predicts, by which versions it was made, and how well it does."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from monai_cl_ext.bundles.build import OWN_PACKAGE
from monai_cl_ext.packing.configs import Configs
from monai_cl_ext.packing.scores import Scores
from monai_cl_ext.packing.trained_run import TrainedRun

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
    content = known | run.kind.metadata(known, run.class_names, data_of(run), run.settings)
    formats = content["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        if tensor["spatial_shape"]:
            tensor["spatial_shape"] = list(size)
    versions = run.training["versions"]
    content |= {key: versions[module].partition("+")[0] for key, module in VERSION_KEYS.items()}
    content["eval_metrics"] = {} if scores is None else scores.metrics()
    content["task"] = f"{run.kind.task} {', '.join(run.class_names)}"
    content["description"] = f"{_architecture(run)}. Its training: {known['description']}"
    content["changelog"] = {content["version"]: f"trained by {known['name']}"}
    required = content["required_packages_version"]
    content["training_packages_version"] = dict(required)
    if not needs_own_package(configs["inference"]):
        content["required_packages_version"] = {key: required[key] for key in required if key != OWN_PACKAGE}
    return content


def data_of(run: TrainedRun) -> str:
    """The parts of the training's data, each in a few words."""
    cards, item = run.training["data"].items(), run.kind.problem.item
    return "; ".join(
        f"{part}: {card[run.kind.counted]} {item}(s) of {card['patients']} patient(s)" for part, card in cards
    )


def needs_own_package(inference: Mapping[str, Any]) -> bool:
    """Whether inference runs nowhere without this package: by itself, or for a network of its own."""
    return "on_monai_alone" not in inference or MODULE in json.dumps(inference["network_def"])


def _architecture(run: TrainedRun) -> str:
    return f"{run.config['network_def']['_target_'].rpartition('.')[2]} in {run.settings['spatial_dims']}D"
