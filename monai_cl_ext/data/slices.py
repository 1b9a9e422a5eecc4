# SPDX-License-Identifier: Apache-2.0
"""Slices of volumes, prepared once and served from memory with their volume, position and partition."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.transforms import Compose, RandomizableTrait
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data.cropping import warn_of_cut_classes
from monai_cl_ext.data.partitions import PARTITION_RULES, slice_partitions
from monai_cl_ext.data.preprocessing import volume_transform
from monai_cl_ext.data.volume import Volume, read_volume

MANY_VOLUMES = 20
SHOWN = 3


class SliceDataset(Dataset[dict[str, Any]]):
    """All slices of a list of volumes.

    Each volume is read and prepared once, when the dataset is made, and kept as float16 (label: uint8) with the slice
    axis first; so scale intensities to about [0, 1] in ``transform``.

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
        workers: threads that prepare volumes; None is one a core, at most eight.
        progress: shows a bar where there are many volumes.

    Attributes:
        volume, partition: of each slice, int64 (slices,).
        position: of each slice, float64 (slices,).
        files, patients, spacings: of each kept volume; spacing in the units of the affine, axes as in the volume.

    Raises:
        FileNotFoundError, PermissionError: when a file is absent or may not be read.
        ValueError: when a volume cannot be read or prepared, holds NaN or infinity, differs in size from the others
            or from its label, when its superpixels fail, or when no volume is left. The message names the file.

    Warns of volumes of one intensity, which are dropped, of a volume with fewer slices than partitions, and of the
    share of each class that cropping cuts away.
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
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.slice_axis = one_of("slice_axis", slice_axis, (0, 1, 2))
        self.partitions = positive_integer("partitions", partitions)
        one_of("partition_rule", partition_rule, PARTITION_RULES)
        if transform is None:
            transform = volume_transform(slice_axis=slice_axis)
        _refuse_random(transform)
        volumes = self._read_all(list(data), transform, superpixels, workers or min(os.cpu_count() or 1, 8), progress)
        self.files = [volume.file for volume in volumes]
        self.patients = [volume.patient for volume in volumes]
        self.spacings = [volume.spacing for volume in volumes]
        counts = [len(volume.image) for volume in volumes]
        self.volume = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        self.position = torch.cat([torch.arange(1, n + 1, dtype=torch.float64) / n for n in counts])
        self.partition = torch.cat([slice_partitions(n, self.partitions, partition_rule) for n in counts])
        for file, n in zip(self.files, counts, strict=True):
            if n < self.partitions:
                warnings.warn(
                    f"{file}: {n} slice(s) for {self.partitions} partitions, so some partitions are empty; "
                    "the volume is kept, but batches of all partitions cannot draw from it",
                    stacklevel=2,
                )
        labels = [volume.label for volume in volumes if volume.label is not None]
        maps = [volume.superpixel for volume in volumes if volume.superpixel is not None]
        images = [volume.image for volume in volumes]
        del volumes
        self._label = _joined(labels) if labels else None
        self._superpixel = _joined(maps) if maps else None
        self._image = _joined(images)

    def __len__(self) -> int:
        """Number of slices of all volumes."""
        return len(self._image)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One slice with its tags."""
        item: dict[str, Any] = {"image": self._image[index].float()}
        if self._label is not None:
            item["label"] = self._label[index].clone()
        if self._superpixel is not None:
            item["superpixel"] = self._superpixel[index].to(torch.int32, copy=True)
        item["volume"] = self.volume[index].item()
        item["position"] = self.position[index].item()
        item["partition"] = self.partition[index].item()
        return item

    def _read_all(
        self,
        data: list[Mapping[str, Any]],
        transform: Callable[..., Any],
        superpixels: Callable[[Tensor], Tensor] | None,
        workers: int,
        progress: bool,
    ) -> list[Volume]:
        _check_data(data)
        with ThreadPoolExecutor(workers) as pool:
            read = pool.map(lambda case: read_volume(case, transform, self.slice_axis, superpixels), data)
            bar = tqdm(read, "Volumes", len(data), leave=False, disable=not progress or len(data) < MANY_VOLUMES)
            try:
                volumes = list(bar)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        kept = [volume for volume in volumes if not volume.constant]
        dropped = [volume.file for volume in volumes if volume.constant]
        if dropped:
            warnings.warn(
                f"{len(dropped)} of {len(volumes)} volume(s) are dropped, since all their voxels, or nearly all, have "
                f"one intensity: {', '.join(dropped[:SHOWN])}{' and more' if len(dropped) > SHOWN else ''}",
                stacklevel=3,
            )
        warn_of_cut_classes([volume.file for volume in kept], [volume.cut for volume in kept])
        if not kept:
            raise ValueError(
                f"data: expected at least one volume with contrast, found {len(volumes)} constant one(s); "
                "check the files"
            )
        expected = tuple(kept[0].image.shape[1:])
        for volume in kept:
            found = tuple(volume.image.shape[1:])
            if found != expected:
                raise ValueError(
                    f"{volume.file}: its slices are {found} (channels, height, width) after the transform, those of "
                    f"{kept[0].file} {expected}; crop or pad all to one size, e.g. with ResizeWithPadOrCropd"
                )
        return kept


def _check_data(data: list[Mapping[str, Any]]) -> None:
    if not data:
        raise ValueError("data: expected at least one volume, found none; check the data folder and the split")
    for case in data:
        if "image" not in case:
            raise ValueError(f'data: expected an "image" in each case, found {dict(case)}; add it or drop the case')
    without = [case for case in data if not case.get("label")]
    if without and len(without) < len(data):
        raise ValueError(
            f"data: {len(data) - len(without)} case(s) have a label and {len(without)} have none, the first being "
            f'{without[0]["image"]}; give labels to all, or drop the key "label"'
        )


def _refuse_random(transform: Callable[..., Any]) -> None:
    for step in transform.flatten().transforms if isinstance(transform, Compose) else [transform]:
        if isinstance(step, RandomizableTrait):
            raise ValueError(
                f"transform: {type(step).__name__} is random, but is applied once to each volume; "
                "keep the deterministic steps here and augment batches instead"
            )


def _joined(parts: list[Tensor]) -> Tensor:
    """The parts along the first axis, in one block that workers share; each part is freed once it is copied."""
    widest = max((part.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    block = torch.empty(sum(len(part) for part in parts), *parts[0].shape[1:], dtype=widest)
    first = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        block[first : first + len(part)] = part
        first += len(part)
    return block
