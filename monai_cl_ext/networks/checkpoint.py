# SPDX-License-Identifier: Apache-2.0
"""Reads the tensors of a checkpoint file, whatever it wraps them in."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_cl_ext.extras import need
from monai_cl_ext.files import load_tensors

WRAPPINGS = ("state_dict", "model_state_dict", "model", "network", "net", "method", "network_weights")


def read_state(path_or_state: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """The state_dict in a file, on the CPU, or in a mapping, taken out of wrappings such as ``{"model": ...}``.

    Files ending in ``.safetensors`` are read with that package, all others with ``torch.load(weights_only=True)`` and
    their checksums verified.

    Args:
        path_or_state: path of a checkpoint, or the loaded mapping.

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: when the file needs the package safetensors and it is not installed.
        ValueError: when the file cannot be read, or no state_dict, or more than one, is found in it.
    """
    if isinstance(path_or_state, Mapping):
        return _unwrap(path_or_state, "path_or_state")
    path = Path(path_or_state)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; weights were asked for, train them first or correct the path")
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else load_tensors(path)
    except ValueError as error:
        raise ValueError(
            f"{error}; copy it again if it was cut short; if it holds objects, save the state_dict alone instead"
        ) from error
    return _unwrap(content, str(path))


def _read_safetensors(path: Path) -> Any:
    need(str(path), "safetensors", "safetensors")
    package = importlib.import_module("safetensors.torch")
    try:
        return package.load_file(path, device="cpu")
    except Exception as error:  # the package has an error of its own
        raise ValueError(f"{path}: cannot be read as a checkpoint ({error})") from error


def _unwrap(content: Any, source: str) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{source}: expected a state_dict, found {type(content).__name__}")
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    named = [key for key in WRAPPINGS if key in inner]
    if named or len(inner) == 1:
        return _unwrap(inner[named[0] if named else next(iter(inner))], source)
    tensors = OrderedDict((key, value) for key, value in content.items() if isinstance(value, Tensor))
    if hasattr(content, "_metadata"):  # what torch, and note_trained_blocks, keep beside the tensors
        vars(tensors)["_metadata"] = content._metadata
    if not tensors:
        raise ValueError(
            f"{source}: no tensors found, keys are {sorted(map(str, content))[:8]}; a state_dict is looked for at the"
            f" top and under {', '.join(WRAPPINGS)}; pass the mapping itself if it lies elsewhere"
        )
    return tensors
