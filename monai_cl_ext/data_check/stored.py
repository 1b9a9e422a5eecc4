# SPDX-License-Identifier: Apache-2.0
"""How much disk the prepared volumes will take."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.data.store import default_store
from monai_cl_ext.data.store.commands import as_size
from monai_cl_ext.data.store.folder import VARIABLE
from monai_cl_ext.data_check.facts import WARNING, CaseFacts, Finding, ImageFacts

IMAGE_BYTES, LABEL_BYTES = 2, 1  # float16 and uint8
SUPERPIXEL_BYTES, SUPERVOXEL_BYTES = 1, 2  # for SuperCL's 60 of a slice, and 2000 of a volume


def superpixel_bytes(facts: Sequence[CaseFacts], settings: Mapping[str, Any] | None = None) -> int:
    """Bytes of the superpixel maps that SuperCL keeps beside the prepared volumes; arguments of `stored_bytes`."""
    each = SUPERVOXEL_BYTES if settings is None else SUPERPIXEL_BYTES
    return each * sum(_voxels(one.volume, settings) for one in facts if one.volume is not None)


def stored_bytes(facts: Sequence[CaseFacts], settings: Mapping[str, Any] | None = None) -> int:
    """Bytes of the prepared volumes that could be read, with their labels, in the store of a training.

    Args:
        facts: of the cases.
        settings: slice_axis and image_size of a training in 2D, which crops slices; None is 3D at the spacing of files.
    """
    total = 0
    for one in facts:
        if one.volume is not None:
            bytes_a_voxel = IMAGE_BYTES * one.volume.channels + (LABEL_BYTES if one.segmentation is not None else 0)
            total += _voxels(one.volume, settings) * bytes_a_voxel
    return total


def free_bytes(folder: str | Path) -> int:
    """What is free on the disk of a folder that need not be there yet."""
    path = Path(folder).expanduser().absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def space_findings(needed: int) -> list[Finding]:
    """A warning where the disk of the store holds less than that many bytes more."""
    store = default_store()
    free = free_bytes(store)
    if free >= needed:
        return []
    message = (
        f"{store}: the prepared slices of all volumes take {as_size(needed)} in the store, but {as_size(free)} are "
        f"free there; free space, name another folder as {VARIABLE}, or keep volumes in memory by the setting store"
    )
    return [Finding(WARNING, message)]


def _voxels(volume: ImageFacts, settings: Mapping[str, Any] | None) -> int:
    if settings is None:
        return math.prod(volume.shape)
    return volume.shape[settings["slice_axis"]] * math.prod(settings["image_size"])
