# SPDX-License-Identifier: Apache-2.0
"""The network of a bundle as TorchScript and ONNX, by MONAI's exporters, without the paths of the exporting machine."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ckpt_export, onnx_export

from monai_cl_ext.extras import need
from monai_cl_ext.files import atomic

NETWORK = "network_def"
DEBUGGING = ".debug_pkl"
"""Members of a TorchScript file that tell of each operation in which file of the exporting machine it was written."""
ANY_BATCH = {
    "input_names": ["image"], "output_names": ["pred"],
    "dynamic_axes": {"image": {0: "batch"}, "pred": {0: "batch"}},
}  # fmt: skip
NOTES = ("doc_string", "metadata_props")
"""Fields of ONNX messages that hold such stack traces, and nothing that computes."""


def export_torchscript(folder: Path, shape: list[int]) -> None:
    """Writes models/model.ts of a bundle's folder.

    Args:
        folder: with configs and models/model.pt.
        shape: of a batch of images, which scripting does not ask for.
    """
    path = folder / "models" / "model.ts"
    ckpt_export(NETWORK, filepath=str(path), **_files(folder))
    with atomic(path) as written, zipfile.ZipFile(path) as source, zipfile.ZipFile(written, "w") as target:
        for member in source.infolist():
            if not member.filename.endswith(DEBUGGING):
                target.writestr(member, source.read(member))


def export_onnx(folder: Path, shape: list[int]) -> None:
    """Writes models/model.onnx of a bundle's folder.

    Args:
        folder: with configs and models/model.pt.
        shape: of a batch of images, of which the sides stay fixed and the batch does not.

    Raises:
        ImportError: where onnx, or onnxruntime to compare it with the network, is not installed.
    """
    need("models/model.onnx", "share", "onnx", "onnxruntime")
    import onnx

    path = folder / "models" / "model.onnx"
    several = [2, *shape[1:]]  # torch.export takes a 1 for a constant
    onnx_export(NETWORK, filepath=str(path), input_shape=several, converter_kwargs=dict(ANY_BATCH), **_files(folder))
    model = onnx.load(path)
    _clear_notes(model)
    onnx.save(model, path)


def onnx_network(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network of an ONNX file, run by onnxruntime on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {"image": image.numpy()})[0])


def _clear_notes(message: Any) -> None:
    """Clears the notes of an ONNX message and of all messages in it."""
    for name in NOTES:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "DESCRIPTOR") else value:  # else it is a list of messages
                _clear_notes(inner)


def _files(folder: Path) -> dict[str, Any]:
    configs = folder / "configs"
    return {
        "ckpt_file": str(folder / "models" / "model.pt"),
        "meta_file": str(configs / "metadata.json"),
        "config_file": str(configs / "inference.json"),
    }
