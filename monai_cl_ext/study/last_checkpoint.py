# SPDX-License-Identifier: Apache-2.0
"""The last checkpoint of a training, which is scored beside the one that did best on validation patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.layout import EVAL_LAST

BEST, LAST = "model.pt", "model_final.pt"
"""Files of weights: of the best epoch on the validation patients, and of the last epoch."""


def last_inference(bundle: Bundle) -> dict[str, str]:
    """Settings of inference.json that make it load the last checkpoint and write into a folder of its own.

    A training writes one where a component of train.json, such as ``SaveWeights``, names models/model_final.pt. The
    inference loads it by its ``CheckpointLoader`` of models/model.pt, and writes where its id ``output_dir`` says.

    Returns:
        Values by config id; empty where the training writes no last checkpoint or the inference cannot load it.
    """
    written = any(
        LAST in str(value) for _, part in _components(bundle.parser("train").get()) for value in part.values()
    )
    loaders = {
        f"{place}#load_path": part["load_path"].replace(f"/{BEST}", f"/{LAST}")
        for place, part in _components(bundle.parser("inference").get())
        if part["_target_"].endswith("CheckpointLoader") and f"/{BEST}" in str(part.get("load_path"))
    }
    folder = bundle.known(["inference"], {"output_dir": f"$@bundle_root + '/{EVAL_LAST}'"})
    return {**loaders, **folder} if written and loaders and folder else {}


def _components(config: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and own values of each component of a configuration that is not turned off."""
    if isinstance(config, dict) and config.get("_disabled_") is True:
        return
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    if isinstance(config, dict) and isinstance(config.get("_target_"), str):
        yield place, {name: value for name, value in config.items() if isinstance(value, str)}
    for name, value in items:
        yield from _components(value, f"{place}#{name}" if place else str(name))
