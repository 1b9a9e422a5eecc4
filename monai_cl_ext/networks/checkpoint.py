# SPDX-License-Identifier: Apache-2.0
"""Reads the tensors of a checkpoint file, whatever it wraps them in."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from monai_cl_ext.extras import need
from monai_cl_ext.files import load_tensors
from monai_cl_ext.finite import not_finite
from monai_cl_ext.names import first_names

WRAPPINGS = ("state_dict", "model_state_dict", "model", "network", "net", "method", "network_weights")

WRAPPERS = ("module.", "_orig_mod.", "backbone.", "encoder.", "network.", "model.", "net.")
"""Prefixes that wrappers put before a network's names: DataParallel, torch.compile, methods, whole frameworks."""

_SCALAR = np.float64(0).__reduce__()[0]  # what makes a NumPy number; its module has another name in NumPy 1
PLAIN_OBJECTS: list[Any] = [
    Namespace, np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
    *((_SCALAR, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")),
]  # fmt: skip
"""Objects that published checkpoints hold beside their tensors, and that only hold values: arguments, NumPy numbers."""


def read_state(path_or_state: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """The state_dict in a file, on the CPU, or in a mapping, taken out of wrappings such as ``{"model": ...}``.

    See :func:`read_content` for the arguments and for what else is raised.

    Raises:
        ValueError: when no state_dict, or more than one, is found.
    """
    return unwrapped(*read_content(path_or_state))


def read_content(path_or_state: str | Path | Mapping[str, Any]) -> tuple[Any, str]:
    """What a file holds, on the CPU, or the mapping itself; and how messages name it.

    Files ending in ``.safetensors`` are read with that package, all others with ``torch.load(weights_only=True)`` and
    their checksums verified. Arguments of a command line (``argparse.Namespace``) and NumPy's numbers may stand beside
    the tensors; other objects are refused.

    Args:
        path_or_state: path of a checkpoint, or the loaded mapping.

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: when the file needs the package safetensors and it is not installed.
        ValueError: when the file cannot be read.
    """
    if isinstance(path_or_state, Mapping):
        return path_or_state, "the given state"
    path = Path(path_or_state)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; weights were asked for, train them first or correct the path")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path), str(path)
        with safe_globals(PLAIN_OBJECTS):
            return load_tensors(path), str(path)
    except ValueError as error:
        raise ValueError(
            f"{error}; copy it again if it was cut short; if it holds objects, save the state_dict alone instead"
        ) from error


def refuse_not_finite(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for weights that hold NaN or infinity.

    Args:
        where: the file of the weights, or what else they come from.
        tensors: those that are to be loaded, in the number type of the network.
    """
    bad = not_finite(tensors)
    if bad:
        raise ValueError(
            f"{where}: NaN or infinite are {first_names(bad)}; nothing was loaded. The training of these weights"
            " failed: take those of an earlier epoch, or train them again"
        )


def equal_tensors(first: Tensor, second: Tensor) -> bool:
    """Equal shape, number type and values, NaN among them."""
    alike = first.shape == second.shape and first.dtype == second.dtype
    return alike and bool(torch.isclose(first, second, rtol=0, atol=0, equal_nan=True).all())


def _read_safetensors(path: Path) -> Any:
    need(str(path), "safetensors", "safetensors")
    package = importlib.import_module("safetensors.torch")
    try:
        return package.load_file(path, device="cpu")
    except Exception as error:  # the package has an error of its own
        raise ValueError(f"{path}: cannot be read as a checkpoint ({error})") from error


def unwrapped(content: Any, source: str, wrappings: Sequence[str] = WRAPPINGS) -> dict[str, Tensor]:
    """The state_dict in what a file holds.

    Args:
        content: a mapping of tensors, or of mappings.
        source: the file's name, for messages.
        wrappings: keys under which a state_dict may lie, the first that is there counts.

    Raises:
        ValueError: when none is found.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{source}: expected a state_dict, found {type(content).__name__}")
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    named = [key for key in wrappings if key in inner]
    if named or (len(inner) == 1 and not any(isinstance(value, Tensor) for value in content.values())):
        return unwrapped(inner[named[0] if named else next(iter(inner))], source, wrappings)
    tensors = OrderedDict((key, value) for key, value in content.items() if isinstance(value, Tensor))
    if hasattr(content, "_metadata"):  # what torch, and note_trained_blocks, keep beside the tensors
        vars(tensors)["_metadata"] = content._metadata
    if not tensors:
        raise ValueError(
            f"{source}: no tensors found, keys are {sorted(map(str, content))[:8]}; a state_dict is looked for at the"
            f" top and under {', '.join(wrappings)}; pass the mapping itself if it lies elsewhere"
        )
    return tensors
