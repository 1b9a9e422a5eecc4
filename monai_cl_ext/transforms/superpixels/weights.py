# SPDX-License-Identifier: Apache-2.0
"""Files of weights of the learned backends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from monai_cl_ext.files import load_tensors, save_tensors


def save_weights(file: Path, backend: str, settings: Mapping[str, Any], network: nn.Module) -> None:
    """Writes what ``Superpixel(backend=..., weights=file)`` reads, atomically.

    Args:
        file: its folder is made when missing.
        backend: name of the backend.
        settings: of the training, plain values.
        network: that was trained.

    Raises:
        FloatingPointError: when a weight is NaN or infinite.
        OSError: when it cannot be written.
    """
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    save_tensors(file, {"backend": backend, "settings": dict(settings), "state_dict": state})


def settings_of(file: Path) -> dict[str, Any]:
    """The settings of the training that wrote a file, with the backend's name.

    Raises:
        ValueError: when it is no file of such weights.
    """
    content = _content(file, "BACKEND")
    return {"backend": content["backend"], **content["settings"]}


def load_weights(file: Path, backend: str, network: nn.Module) -> dict[str, Any]:
    """Loads the weights of a backend's network, with ``weights_only=True``; gives the settings of their training.

    Raises:
        ValueError: when the file is missing, damaged, of another backend or of another network; it names the command
            that trains them.
    """
    content = _content(file, backend)
    if content["backend"] != backend:
        raise ValueError(
            f"weights {file}: expected those of backend {backend!r}, found those of {content['backend']!r}; take that"
            f" backend, or {remedy(backend)}"
        )
    try:
        network.load_state_dict(content["state_dict"])
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(
            f"weights {file}: expected the tensors of {type(network).__name__}, found others; {remedy(backend)}"
        ) from error
    return dict(content["settings"])


def remedy(backend: str) -> str:
    """How to come by the weights of a backend."""
    return (
        "train on images of your own: python -m monai_cl_ext superpixels train DIR"
        f" --backend {backend} --output FILE, and give FILE as weights"
    )


def _content(file: Path, backend: str) -> dict[str, Any]:
    if not file.is_file():
        raise ValueError(f"weights {file}: expected a file, found none; {remedy(backend)}")
    content = load_tensors(file)
    if not isinstance(content, dict) or set(content) != {"backend", "settings", "state_dict"}:
        raise ValueError(
            f"weights {file}: expected what python -m monai_cl_ext superpixels train writes, found another checkpoint;"
            " give such a file"
        )
    return content
