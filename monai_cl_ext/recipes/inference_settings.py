# SPDX-License-Identifier: Apache-2.0
"""What inference.json has to take over from the training that it serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLACES = ("bundle_root", "ckpt_dir", "output_dir", "dataset_dir", "device")
OWN_TO_INFERENCE = (
    *PLACES, "imports", "stage", "network", "volume_size", "volume_pixdim", "batch_size", "class_names", "evaluator",
    "initialize", "run",
)  # fmt: skip
"""Ids that inference.json has in a form of its own."""

LONGEST = 80  # characters of a value that a message shows


def of_the_training(trained: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """What a training and an inference both have, such as ``network_def`` or ``image_size``, as the training had it.

    Args:
        trained: the configuration that the training ran by, options included.
        inference: content of inference.json.
    """
    return {name: trained[name] for name in inference if name in trained and name not in OWN_TO_INFERENCE}


def refuse_other_settings(bundle: Path) -> None:
    """Refuses a bundle that was trained with options, which its inference.json knows nothing of.

    Args:
        bundle: its folder; one without the record of a training passes.

    Raises:
        ValueError: names the settings and what to do.
    """
    record = bundle / "eval" / "config_train.json"
    if not record.is_file():
        return
    trained, inference = (
        json.loads(path.read_text(encoding="utf-8")) for path in (record, bundle / "configs" / "inference.json")
    )
    other = [name for name, value in of_the_training(trained, inference).items() if value != inference[name]]
    if other:
        told = "; ".join(f"{name} {_short(trained[name])}, found {_short(inference[name])}" for name in other)
        raise ValueError(
            f"{bundle}: configs/inference.json is not that of its training, expected {told}; make a bundle of it by "
            "python -m monai_cl_ext bundle pack, and predict by that one"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
