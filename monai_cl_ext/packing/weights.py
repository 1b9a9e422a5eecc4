# SPDX-License-Identifier: Apache-2.0
"""The weights of a packed bundle: checked against its network, and exported for those who do not build it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_cl_ext.files import sha256_of
from monai_cl_ext.networks.checkpoint import read_state
from monai_cl_ext.packing.exports import NETWORK, export_onnx, export_torchscript, onnx_network

TOLERANCE = 1e-4


def pack_weights(source: Path, folder: Path, shape: list[int], exports: bool = True) -> dict[str, str]:
    """Copies the weights to ``models/model.pt`` and exports them as TorchScript, and as ONNX where it is installed.

    Args:
        source: the state of the network.
        folder: of the packed bundle, with its configs.
        shape: of an image that the network takes, channels first, without batch.
        exports: whether to export them; without, models/ holds the state alone.

    Returns:
        Why each export that is missing is, by its path in the folder.

    Raises:
        ValueError: when the weights do not fit the network of inference.json, or an exported network differs from it.
    """
    models = folder / "models"
    models.mkdir()
    shutil.copy(source, models / "model.pt")
    parser = ConfigParser(ConfigParser.load_config_file(str(folder / "configs" / "inference.json")))
    network = parser.get_parsed_content(NETWORK).eval()
    try:
        network.load_state_dict(read_state(models / "model.pt"))
    except RuntimeError as error:
        raise ValueError(
            f"{source} does not fit {NETWORK} of inference.json, so inference would not run: {error}; the training ran "
            "with another network than its configs tell"
        ) from error
    image = torch.rand(1, *shape)
    missing = {}
    for name, export in (("model.ts", export_torchscript), ("model.onnx", export_onnx)) if exports else ():
        try:
            export(folder, list(image.shape))
        except ImportError as error:
            missing[f"models/{name}"] = str(error)
        except Exception as error:  # whatever the exporter meets in a network that it does not know
            missing[f"models/{name}"] = f"{type(network).__name__} cannot be exported: {str(error).splitlines()[0]}"
            (models / name).unlink(missing_ok=True)
    if (models / "model.ts").is_file():
        _refuse_other_values("model.ts", torch.jit.load(models / "model.ts"), network, image)
    if (models / "model.onnx").is_file():
        _refuse_other_values("model.onnx", onnx_network(models / "model.onnx"), network, torch.cat([image] * 3))
    return missing


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in models/, by its path in the folder."""
    files = sorted(path for path in (folder / "models").iterdir() if path.is_file())
    return {f"models/{file.name}": sha256_of(file) for file in files}


def _refuse_other_values(
    name: str, exported: Callable[[Any], Any], network: torch.nn.Module, image: torch.Tensor
) -> None:
    with torch.no_grad():
        values = network(image)
        difference = float((exported(image) - values).abs().max() / values.abs().max().clamp_min(1))
    if not difference <= TOLERANCE:  # NaN is none
        raise ValueError(
            f"models/{name} differs from models/model.pt by {difference:g} of its largest value on a random image"
        )
