# SPDX-License-Identifier: Apache-2.0
"""Random 3D patches of volumes, with their volume, position and partition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from monai_cl_ext.data.patch_places import RandomPatches, with_room
from monai_cl_ext.data.prepared import prepared_volumes
from monai_cl_ext.data.preprocessing import volume_transform
from monai_cl_ext.data.superpixel_maps import SuperpixelMaps

AXES = [0, 2, 3]
"""Slices, H and W in the shape of an array (slices, C, H, W)."""


class PatchDataset(Dataset[dict[str, Any]]):
    """Random patches of a list of volumes, others in each epoch.

    Volumes may differ in size. Each is read and prepared once and kept as float16 (label: uint8), in memory or in a
    store on disk, as :class:`SliceDataset` does. One that is smaller than a patch lies in its middle, with 0 around it.

    An item is {"image": float32 (C, *S), "label"?: uint8 (1, *S), "superpixel"?: int32 (1, *S), "volume": int,
    "position": float64 (3,), "partition": int, "spacing": float64 (3,)}, axes as in the volume. "position" is the
    center of the patch, each coordinate in (0, 1]: a patch of length p from i on in n voxels has (i + (p + 1) / 2) / n,
    a slice (i + 1) / n. "partition" is the cell of the patch's place along the slice axis, see :class:`RandomPatches`;
    with one voxel's length it is the partition of the slice.

    Call :meth:`set_epoch` before each epoch, or every epoch has the same patches.

    Args:
        data: dictionaries with "image", "label"? and "patient"?, as from :func:`find_cases`; all with a label or none.
        patches: draws their places.
        transform: deterministic dictionary transforms of a whole volume that end in channel-first tensors; None is
            :func:`volume_transform` with its defaults. Augmentation belongs after the batch is made.
        superpixels: map from a volume (C, *S) float32, the slice axis first, to supervoxels, integers (1, *S) from 0
            on, such as ``transforms.Superpixel()``; it is called once for each volume.
        store: folder of the store, such as ``default_store()``; None or "" keeps the volumes in memory.
        workers: threads that prepare volumes; None is one a core, at most eight.
        progress: shows a bar where there are many volumes.

    Attributes:
        volume, partition: of each row, int64 (rows,); partition -1 where it is not known beforehand.
        neighborhood, place: of each row, int64 (rows,), for ``NeighborBatchSampler``: the pair of neighbors that it is
            in, and 0 or 1; only where ``patches`` draws neighbors.
        files, patients: of each kept volume.
        axes: of each kept volume, the directions in which its axes run, such as "RAS"; "" where one is oblique.
        spacings: of each kept volume, in the units of the affine, axes as in the volume.

    Raises:
        FileNotFoundError, PermissionError: when a file is absent or may not be read.
        ValueError: when a volume cannot be read or prepared, holds NaN or infinity, has other channels than the others
            or another size than its label, when patches shall have foreground and there are no labels, or neighbors and
            a volume leaves them no room. The message names the file.

    Warns as :class:`SliceDataset` does.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        patches: RandomPatches,
        transform: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        *,
        superpixels: Callable[[Tensor], Tensor] | None = None,
        store: str | Path | None = None,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.patches = patches
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that outlive an epoch see it change
        if transform is None:
            transform = volume_transform(slice_axis=patches.slice_axis)
        maps = None if superpixels is None else SuperpixelMaps(superpixels, of_volumes=True)
        self._volumes = prepared_volumes(data, transform, patches.slice_axis, maps, store, workers, progress)
        self.files, self.patients, self.axes = self._volumes.files, self._volumes.patients, self._volumes.axes
        self._check_volumes()

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose patches are served."""
        self._epoch.fill_(int(epoch))

    def __len__(self) -> int:
        """Number of rows of all volumes."""
        return len(self.files) * self.patches.per_volume

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One patch with its tags.

        Raises:
            IndexError: when there is no such row.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        number, row = divmod(index, self.patches.per_volume)
        arrays, shape = self._volumes.arrays, self._volumes.shapes[number, AXES]
        foreground = arrays.foreground(number) if self.patches.foreground else None
        start = self.patches.start(shape, int(self._epoch), index, row, foreground)
        item: dict[str, Any] = {"image": self._cut(arrays.image(number), start, torch.float32)}
        if self._volumes.labels:
            item["label"] = self._cut(arrays.label(number), start, torch.uint8)
        if self._volumes.superpixels:
            item["superpixel"] = self._cut(arrays.superpixel(number), start, torch.int32)
        center = np.minimum((start + (self.patches.lengths + 1) / 2) / shape, 1)  # more along an axis of one voxel
        item["volume"] = number
        item["position"] = torch.from_numpy(self._in_order(center))
        item["partition"] = self.patches.partition_of(shape, max(start[0], 0))
        item["spacing"] = torch.from_numpy(self._volumes.spacings[number].copy())
        return item

    @property
    def volume(self) -> Tensor:
        """The volume of each row, int64 (rows,)."""
        return torch.arange(len(self.files)).repeat_interleave(self.patches.per_volume)

    @property
    def partition(self) -> Tensor:
        """The partition of each row, int64 (rows,).

        Raises:
            ValueError: when no volume leaves a patch room for all partitions; names an ``image_size`` that does.
        """
        if not any(map(self.patches.has_all_cells, self._shapes)):
            raise ValueError(self._no_room())
        return torch.from_numpy(np.concatenate([self.patches.partitions_of(shape) for shape in self._shapes]))

    @property
    def neighborhood(self) -> Tensor:
        """The pair of neighbors that each row is in, int64 (rows,).

        Raises:
            ValueError: when rows are no neighbors.
        """
        if not self.patches.neighbors:
            raise ValueError("patches are drawn without neighbors; give RandomPatches neighbors=True")
        return torch.arange(len(self)) // 2

    @property
    def place(self) -> Tensor:
        """The place of each row in its pair, int64 (rows,)."""
        return torch.arange(len(self)) % 2

    @property
    def spacings(self) -> list[tuple[float, ...]]:
        """The spacing of each volume."""
        return list(map(tuple, self._volumes.spacings.tolist()))

    @property
    def _shapes(self) -> np.ndarray:
        """(volumes, 3), slices, H and W of each."""
        return self._volumes.shapes[:, AXES]

    def _no_room(self) -> str:
        """What to say where no volume has a place for each partition."""
        axis, lengths = self.patches.slice_axis, self._shapes[:, 0]
        size, pixdim = list(self.patches.size), [float(f"{step:.4g}") for step in np.median(self.spacings, axis=0)]
        size[axis], pixdim[axis] = with_room(int(lengths.min()), pixdim[axis])
        return (
            f"none of {len(lengths)} volume(s) has places for a patch in {self.patches.partitions} partitions: along "
            f"axis {axis} they have {lengths.min()} to {lengths.max()} voxels, a patch {self.patches.size[axis]}; give "
            f"image_size {size} and pixdim {pixdim}, or lower partitions"
        )

    def _in_order(self, values: np.ndarray) -> np.ndarray:
        """Numbers of each axis, the slice axis first, in the order of the volume's axes."""
        return np.insert(values[1:], self.patches.slice_axis, values[0])

    def _cut(self, array: np.ndarray, start: np.ndarray, dtype: torch.dtype) -> Tensor:
        """A copy of the patch (C, *S) of an array (slices, C, H, W), in the memory order of the array."""
        shape = np.array([array.shape[0], *array.shape[2:]])
        ends = np.minimum(start + self.patches.lengths, shape)
        first = np.maximum(start, 0)
        slices, rows, columns = (slice(begin, end) for begin, end in zip(first, ends, strict=True))
        patch = torch.from_numpy(array)[slices, :, rows, columns]
        if (shape < self.patches.lengths).any():
            before, after = first - start, start + self.patches.lengths - ends
            margins = [0, 0, *(int(margin) for pair in zip(before, after, strict=True) for margin in pair)]
            patch = torch.nn.functional.pad(patch, [*margins[6:8], *margins[4:6], 0, 0, *margins[2:4]])
        return patch.to(dtype, copy=True).movedim(0, self.patches.slice_axis + 1)

    def _check_volumes(self) -> None:
        channels = self._volumes.shapes[:, 1]
        for number in np.flatnonzero(channels != channels[0])[:1]:
            raise ValueError(
                f"{self.files[number]}: has {channels[number]} channel(s), {self.files[0]} has {channels[0]}; give "
                "volumes of the same channels"
            )
        if self.patches.foreground and not self._volumes.labels:
            raise ValueError("foreground: patches round the foreground need labels, found none; set foreground to 0")
        small = (self._shapes <= self.patches.lengths).all(axis=1)
        if self.patches.neighbors and small.any():
            raise ValueError(
                f"{self.files[int(np.flatnonzero(small)[0])]}: no larger than a patch of {self.patches.size} voxels, "
                "which leaves no room for a neighbor; take smaller patches"
            )
