# SPDX-License-Identifier: Apache-2.0
"""Slices of volumes, prepared once and served from memory with their volume, position and partition."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data.partitions import PARTITION_RULES, slice_partitions
from monai_cl_ext.data.prepared import prepared_volumes
from monai_cl_ext.data.preprocessing import volume_transform
from monai_cl_ext.data.superpixel_maps import SuperpixelMaps


class SliceDataset(Dataset[dict[str, Any]]):
    """All slices of a list of volumes.

    Each volume is read and prepared once, when the dataset is made, and kept as float16 (label: uint8) with the slice
    axis first; so scale intensities to about [0, 1] in ``transform``. They are kept in memory, or in a store on disk,
    where later runs and other processes find them again: its arrays are mapped, so that memory does not grow with the
    number of volumes.

    An item is {"image": float32 (C, H, W), "label"?: uint8 (1, H, W), "superpixel"?: int32 (1, H, W), "volume": int,
    "position": float, "partition": int}. Slice i of n has position (i + 1) / n; "volume" counts the kept volumes from
    0. A 2D picture is a volume of one slice, position 1; give ``partitions=1`` for such data.

    Args:
        data: dictionaries with "image", "label"? and "patient"?, as from :func:`find_cases`; all with a label or none.
        transform: deterministic dictionary transforms of a whole volume that end in channel-first tensors; None is
            :func:`volume_transform` with its defaults. Augmentation belongs after the batch is made.
        slice_axis: axis of the volume that counts the slices.
        partitions: S, see :func:`slice_partitions`.
        partition_rule: "even" or "released".
        superpixels: map from a slice as it is served to integers (1, H, W) from 0 on, such as
            ``transforms.Superpixel()``; it is called once for each slice, by several threads, and the maps are kept in
            one byte a pixel, in two where the numbers need it.
        store: folder of the store, such as ``default_store()``; None or "" keeps the volumes in memory.
        workers: threads that prepare volumes; None is one a core, at most eight.
        progress: shows a bar where there are many volumes.

    Attributes:
        volume, partition: of each slice, int64 (slices,).
        position: of each slice, float64 (slices,).
        neighborhood, place: of each slice, for ``NeighborBatchSampler``: its volume and its position.
        files, patients: of each kept volume.
        axes: of each kept volume, the directions in which its axes run, such as "RAS"; "" where one is oblique.
        spacings: of each kept volume, in the units of the affine, axes as in the volume.

    Raises:
        FileNotFoundError, PermissionError: when a file is absent or may not be read.
        TypeError: when ``data`` holds an array where the transform reads a file.
        ValueError: when a volume cannot be read or prepared, holds NaN or infinity, differs in size from the others
            or from its label, when its superpixels fail, or when no volume is left. The message names the file.

    Warns of volumes of one intensity, which are dropped, of volumes whose axes follow those of the body in another
    order than most, of a volume with fewer slices than partitions, and of the share of each class that cropping cuts
    away.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        slice_axis: int = 2,
        partitions: int = 4,
        partition_rule: str = "even",
        *,
        superpixels: Callable[[Tensor], Tensor] | None = None,
        store: str | Path | None = None,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.slice_axis = one_of("slice_axis", slice_axis, (0, 1, 2))
        self.partitions = positive_integer("partitions", partitions)
        self.partition_rule = one_of("partition_rule", partition_rule, PARTITION_RULES)
        if transform is None:
            transform = volume_transform(slice_axis=slice_axis)
        maps = None if superpixels is None else SuperpixelMaps(superpixels)
        self._volumes = prepared_volumes(data, transform, slice_axis, maps, store, workers, progress)
        self.files, self.patients, self.axes = self._volumes.files, self._volumes.patients, self._volumes.axes
        self._check_sizes()
        self._counts = self._volumes.shapes[:, 0]
        self._ends = np.cumsum(self._counts)
        for number in np.flatnonzero(self._counts < self.partitions):
            warnings.warn(
                f"{self.files[number]}: {self._counts[number]} slice(s) for {self.partitions} partitions, so some "
                "partitions are empty; the volume is kept, but batches of all partitions cannot draw from it",
                stacklevel=2,
            )

    def __len__(self) -> int:
        """Number of slices of all volumes."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One slice with its tags.

        Raises:
            IndexError: when there is no such slice.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"slice {index} of {len(self)}")
        index %= len(self)
        number = int(np.searchsorted(self._ends, index, side="right"))
        count = int(self._counts[number])
        place = index - int(self._ends[number]) + count
        arrays = self._volumes.arrays
        item: dict[str, Any] = {"image": torch.from_numpy(arrays.image(number)[place]).float()}
        if self._volumes.labels:
            item["label"] = torch.from_numpy(arrays.label(number)[place]).clone()
        if self._volumes.superpixels:
            item["superpixel"] = torch.from_numpy(arrays.superpixel(number)[place]).to(torch.int32, copy=True)
        item["volume"] = number
        item["position"] = (place + 1) / count
        item["partition"] = int(self._partitions_of(count)[place])
        return item

    @property
    def volume(self) -> Tensor:
        """The volume of each slice, int64 (slices,)."""
        return torch.from_numpy(np.repeat(np.arange(len(self._counts)), self._counts))

    @property
    def position(self) -> Tensor:
        """The position of each slice in its volume, float64 (slices,)."""
        return torch.cat([torch.arange(1, n + 1, dtype=torch.float64) / n for n in self._counts.tolist()])

    @property
    def neighborhood(self) -> Tensor:
        """The volume of each slice: in it, slices of the next places are neighbors."""
        return self.volume

    @property
    def place(self) -> Tensor:
        """The position of each slice."""
        return self.position

    @property
    def partition(self) -> Tensor:
        """The partition of each slice, int64 (slices,)."""
        return torch.cat([self._partitions_of(n) for n in self._counts.tolist()])

    @property
    def spacings(self) -> list[tuple[float, ...]]:
        """The spacing of each volume."""
        return list(map(tuple, self._volumes.spacings.tolist()))

    def _partitions_of(self, slices: int) -> Tensor:
        return slice_partitions(slices, self.partitions, self.partition_rule)

    def _check_sizes(self) -> None:
        """Refuses volumes whose slices differ in size."""
        sizes = self._volumes.shapes[:, 1:]
        for number in np.flatnonzero((sizes != sizes[0]).any(axis=1))[:1]:
            raise ValueError(
                f"{self.files[number]}: its slices are {tuple(sizes[number].tolist())} (channels, height, width) after "
                f"the transform, those of {self.files[0]} {tuple(sizes[0].tolist())}; crop or pad all to one size, "
                "e.g. with ResizeWithPadOrCropd"
            )
