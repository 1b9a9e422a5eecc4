# SPDX-License-Identifier: Apache-2.0
"""One batch as the loss saw it: originals, views, tags and pairs."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from torch import Tensor

from monai_cl_ext.types import Tags, View

MAXIMUM_SLICES = 32  # of the batch; more rows would be too small to see


def batch_record(engine: Engine) -> dict[str, Any]:
    """The first rows of the engine's current batch, on the host.

    Args:
        engine: a ``MethodTrainer`` after an iteration.

    Returns:
        "originals" float16 (B, C, H, W); "views", a list of the same; "view_names"; "volume", "position" and
        "partition" (B,) where known; "names", the patient of each row, or its volume's number; "positive" and
        "negative", boolean (rows, rows) view by view, where the method tells them; "superpixels" uint16 (B, H, W) of
        the first view, where it has them. 3D images and maps give their middle slice.
    """
    views, tags = first_rows(engine)
    originals = _flat(torch.as_tensor(engine.state.batch["image"][:MAXIMUM_SLICES])).half()
    images = [_flat(view["image"]).half() for view in views]
    record = {
        "originals": originals,
        "views": images,
        "view_names": _names_of(images, originals),
        "names": _names_of_rows(tags.get("volume"), engine),
        **{name: value.cpu() for name, value in tags.items()},
    }
    if "superpixel" in views[0]:
        record["superpixels"] = _flat(views[0]["superpixel"])[:, 0].to(torch.uint16)
    pairs = engine.method.pairs(views, tags)
    if pairs is not None:
        record["positive"], record["negative"] = (pair.cpu() for pair in pairs)
    return record


def first_rows(engine: Engine) -> tuple[list[View], Tags]:
    """Views and tags of the first rows of a ``MethodTrainer``'s current batch, on its device."""
    views = [{name: value[:MAXIMUM_SLICES] for name, value in view.items()} for view in engine.state.views]
    return views, {name: value[:MAXIMUM_SLICES] for name, value in engine.state.tags.items()}


def _flat(maps: Tensor) -> Tensor:
    """(B, C, H, W) on the host; of a volume the middle along its last axis."""
    if maps.ndim == 5:
        maps = maps[..., maps.shape[-1] // 2]
    return maps.detach().cpu()


def _names_of(images: list[Tensor], originals: Tensor) -> list[str]:
    """ "original" for a view that changes nothing; the others are counted from 1."""
    names: list[str] = []
    for image in images:
        unchanged = torch.equal(image, originals)
        names.append("original" if unchanged else f"view {1 + sum(name != 'original' for name in names)}")
    return names


def _names_of_rows(volume: Tensor | None, engine: Engine) -> list[str]:
    if volume is None:
        return [str(row) for row in range(min(MAXIMUM_SLICES, len(engine.state.batch["image"])))]
    dataset = getattr(engine.state.dataloader, "dataset", None)
    patients = getattr(dataset, "patients", None)
    return [str(patients[number] if patients else f"volume {number}") for number in volume.tolist()]
