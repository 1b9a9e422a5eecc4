# SPDX-License-Identifier: Apache-2.0
"""metadata.json of a packed bundle: what it predicts, by which versions it was made, and how well it does."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_cl_ext.bundles.build import OWN_PACKAGE
from monai_cl_ext.packing.configs import Configs
from monai_cl_ext.packing.scores import Scores
from monai_cl_ext.packing.trained_run import TrainedRun

MODULE = "monai_cl_ext"
VERSION_KEYS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


NOT_STATED = "not stated"


@dataclass(frozen=True)
class Origin:
    """What nothing but those who pack a bundle know of it.

    Attributes:
        authors: of the weights, who have the copyright.
        data_source: where the data are from that it was trained on.
        data_license: of these data.
    """

    authors: str = ""
    data_source: str = ""
    data_license: str = ""

    @property
    def license_text(self) -> str:
        """The license of the data, or what to do where it is not stated."""
        return self.data_license or f"{NOT_STATED} by those who packed the bundle; ask them before you use the weights."


def packed_metadata(
    run: TrainedRun, origin: Origin, configs: Configs, size: list[int], scores: Scores | None
) -> dict[str, Any]:
    """The content of metadata.json, without what is known of the weights.

    Args:
        run: the training.
        origin: of weights and data.
        configs: of the packed bundle.
        size: of an image that the network takes, without batch and channels.
        scores: of its evaluation.
    """
    known = copy.deepcopy(run.bundle.read("metadata"))
    data = f"{origin.data_source}; " * bool(origin.data_source) + _parts(run)
    content = known | run.kind.metadata(known, run.class_names, data, run.settings)
    content["authors"] = origin.authors or NOT_STATED
    content["copyright"] = f"Copyright (c) {origin.authors}" if origin.authors else NOT_STATED
    baked = baked_overlays(run)
    content["overlays"] = {name: told for name, told in run.bundle.known_overlays.items() if name not in baked}
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


def baked_overlays(run: TrainedRun) -> list[str]:
    """Overlays that would replace what stands in the packed configs as the training had it: those of inference."""
    return [name for name, told in run.bundle.known_overlays.items() if "inference" in told.get("stages", [])]


def _parts(run: TrainedRun) -> str:
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
