# SPDX-License-Identifier: Apache-2.0
"""A prepared volume in a store: a folder with its facts and its arrays, there as a whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from monai_cl_ext.data.file_names import case_files
from monai_cl_ext.data.foreground import some_voxels
from monai_cl_ext.data.keeper import Facts
from monai_cl_ext.data.store.folder import VOLUME
from monai_cl_ext.data.told import KEPT, Told
from monai_cl_ext.data.volume import Volume
from monai_cl_ext.files import atomic, atomic_folder, write_text


class Entry(NamedTuple):
    """What a store knows of a volume.

    Attributes:
        facts: of the volume.
        sizes: bytes of each of its files of arrays.
    """

    facts: Facts
    sizes: dict[str, int]


def read_entry(folder: Path, files: list[str]) -> Entry | None:
    """The entry of a folder; None where there is none, or where a file of arrays has lost bytes.

    Args:
        folder: of the volume.
        files: of the case that asks; what is told again names these.
    """
    try:
        content: dict[str, Any] = json.loads((folder / VOLUME).read_text(encoding="utf-8"))
        sizes = content["sizes"]
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        cut = {int(number): (int(lost), int(all_)) for number, (lost, all_) in content["cut"].items()}
        told = [(KEPT[kind], _renamed(message, content["files"], files)) for kind, message in content["told"]]
        shape, spacing = tuple(content["shape"]), tuple(content["spacing"])
        facts = Facts(shape, spacing, content["axes"], content["constant"], cut, told)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Entry(facts, sizes)


def write_entry(
    folder: Path, volume: Volume, case: Mapping[str, Any], told: Told, others: Iterable[Path] = ()
) -> Entry:
    """Writes a prepared volume to a folder that is not there yet.

    Args:
        folder: of the volume.
        volume, case, told: what there is of it.
        others: folders of the same image with another label or none; an array that one of them has is not written
            again, but linked.

    Raises:
        OSError: when it cannot be written; there is no folder then.
    """
    facts = Facts(tuple(volume.image.shape), volume.spacing, volume.axes, volume.constant, volume.cut, told)
    with atomic_folder(folder) as temporary:
        arrays = {} if volume.constant else {"image.npy": volume.image}
        if volume.label is not None:
            arrays |= {"label.npy": volume.label, "foreground.npy": some_voxels(volume.label)}
        sizes = {name: _save(temporary / name, values, others) for name, values in arrays.items()}
        content = {
            "files": case_files(case),
            "shape": list(facts.shape),
            "spacing": list(facts.spacing),
            "axes": facts.axes,
            "constant": facts.constant,
            "cut": {str(number): list(counts) for number, counts in facts.cut.items()},
            "told": [[kind.__name__, message] for kind, message in told if kind.__name__ in KEPT],
            "sizes": sizes,
        }
        write_text(temporary / VOLUME, json.dumps(content, indent=1))
    return Entry(facts, sizes)


def has_maps(path: Path, facts: Facts) -> bool:
    """Whether a file holds the superpixel maps of all slices of a volume."""
    slices, _, *size = facts.shape
    try:
        maps = np.lib.format.open_memmap(path, mode="r")
        return maps.shape == (slices, 1, *size) and path.stat().st_size == maps.offset + maps.nbytes
    except (OSError, ValueError):  # not there, or damaged
        return False


def write_map(path: Path, maps: Tensor) -> None:
    """Writes superpixel maps beside the arrays of their volume.

    Raises:
        OSError: when they cannot be written; there is no file then.
    """
    with atomic(path) as temporary:
        _save(temporary, maps)


def _save(path: Path, values: Tensor, others: Iterable[Path] = ()) -> int:
    """Writes an array, or links the file of another folder that holds the same, and returns the size of its file."""
    array = values.contiguous().numpy()
    for other in others:
        with suppress(OSError, ValueError):  # not there, damaged, or on a disk without hard links
            if np.array_equal(np.lib.format.open_memmap(other / path.name, mode="r"), array):
                os.link(other / path.name, path)
                return path.stat().st_size
    with open(path, "wb") as file:
        np.save(file, array)
    return path.stat().st_size


def _renamed(message: str, before: list[str], now: list[str]) -> str:
    """What was told, with the files that have the same content now."""
    for old, new in zip(before, now, strict=False):
        message = message.replace(old, new)
    return message
