# SPDX-License-Identifier: Apache-2.0
"""What handlers read from the output of an evaluator that segments volumes: their files, names and label maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor


def file_name(item: Mapping[str, Any]) -> str:
    """Path of the file that one of an evaluator's outputs was read from; a ValueError where the meta data lack it."""
    for key in ("image", "label", "pred"):
        value = item.get(key)
        name = value.meta.get("filename_or_obj") if isinstance(value, MetaTensor) else None
        if name is not None and str(name):
            return str(name)
    raise ValueError(
        f"an output with the keys {sorted(item)} has no 'filename_or_obj' in its meta data, so its rows would have no"
        " name: load with LoadImaged and keep MetaTensors"
    )


def volume_names(paths: list[str]) -> list[str]:
    """File names without folder and ending, or the whole paths where two files have one name."""
    names = [Path(path).name for path in paths]
    stems = [name.removesuffix(".gz").removesuffix(".nii") for name in names]
    return stems if len(set(stems)) == len(stems) else paths


def label_map(item: Mapping[str, Any], key: str) -> torch.Tensor:
    """The plain map (*S) of one of an evaluator's outputs (1, *S); a ValueError where it is none."""
    if key not in item:
        raise ValueError(f"the evaluator's output has no {key!r}, found {sorted(item)}")
    value = torch.as_tensor(item[key])
    value = value.as_tensor() if isinstance(value, MetaTensor) else value
    if value.ndim < 2 or value.shape[0] != 1:
        raise ValueError(
            f"{key!r} must be a label map of shape (1, *S), found {tuple(value.shape)}:"
            " add AsDiscreted(argmax=True) to the evaluator's postprocessing"
        )
    return value[0]
