# SPDX-License-Identifier: Apache-2.0
"""Keeps prepared volumes in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.foreground import some_voxels
from monai_cl_ext.data.keeper import Facts
from monai_cl_ext.data.superpixel_maps import SuperpixelMaps
from monai_cl_ext.data.told import heard
from monai_cl_ext.data.volume import Transform, read_volume


class InMemory:
    """Prepares volumes and keeps their arrays.

    Args:
        transform, slice_axis: as in :func:`read_volume`.
        superpixels: makes their maps, or None.
    """

    def __init__(self, transform: Transform, slice_axis: int, superpixels: SuperpixelMaps | None) -> None:
        self.transform, self.slice_axis, self.superpixels = transform, slice_axis, superpixels
        self.parts: dict[int, dict[str, Tensor]] = {}

    def keep(self, place: int, case: Mapping[str, Any]) -> Facts:
        """Prepares the volume of a case."""
        with heard() as told:
            volume = read_volume(case, self.transform, self.slice_axis)
            if not volume.constant:
                self.parts[place] = {"image": volume.image}
                if volume.label is not None:
                    self.parts[place]["label"] = volume.label
                if self.superpixels is not None:
                    self.parts[place]["superpixel"] = self.superpixels(volume.image, image_file(case))
        return Facts(tuple(volume.image.shape), volume.spacing, volume.axes, volume.constant, volume.cut, told)

    def arrays(self, places: Sequence[int]) -> Blocks:
        """The arrays of the volumes at these places, counted from 0."""
        return Blocks([self.parts.pop(place) for place in places])


class Blocks:
    """The arrays of all volumes in one block of each kind, which the workers of a loader share.

    Args:
        parts: "image", "label"? and "superpixel"? of each volume; each is freed once it is copied.
    """

    def __init__(self, parts: list[dict[str, Tensor]]) -> None:
        shapes = {kind: [part[kind].shape for part in parts] for kind in parts[0]}
        self._shapes = shapes
        self._starts = {kind: np.cumsum([0, *map(math.prod, shapes[kind])]) for kind in shapes}
        self._foreground: dict[int, np.ndarray] = {}
        self._blocks = {kind: _joined([part.pop(kind) for part in parts]) for kind in shapes}

    def image(self, number: int) -> np.ndarray:
        """Float16 (slices, C, H, W)."""
        return self._array("image", number)

    def label(self, number: int) -> np.ndarray:
        """uint8 (slices, 1, H, W)."""
        return self._array("label", number)

    def foreground(self, number: int) -> np.ndarray:
        """int32 (voxels, 4): class, slice, row and column of some voxels of each foreground class."""
        if number not in self._foreground:
            self._foreground[number] = some_voxels(torch.from_numpy(self.label(number))).numpy()
        return self._foreground[number]

    def superpixel(self, number: int) -> np.ndarray:
        """Of one to four bytes, (slices, 1, H, W)."""
        return self._array("superpixel", number)

    def _array(self, kind: str, number: int) -> np.ndarray:
        start, end = self._starts[kind][number : number + 2]
        return self._blocks[kind][start:end].view(self._shapes[kind][number]).numpy()


def _joined(parts: list[Tensor]) -> Tensor:
    """The values of all parts, flat; each part is freed once it is copied."""
    widest = max((part.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    block = torch.empty(sum(part.numel() for part in parts), dtype=widest)
    first = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        block[first : first + part.numel()] = part.flatten()
        first += part.numel()
    return block
