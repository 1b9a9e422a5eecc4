# SPDX-License-Identifier: Apache-2.0
"""The dataset of a list of volumes: their slices, or patches of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_cl_ext.data.patch_places import RandomPatches
from monai_cl_ext.data.patches import PatchDataset
from monai_cl_ext.data.slices import SliceDataset


def volume_dataset(
    data: Sequence[Mapping[str, Any]],
    transform: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
    patches: RandomPatches | None = None,
    slice_axis: int = 2,
    partitions: int = 4,
    *,
    superpixels: Callable[[Tensor], Tensor] | None = None,
    store: str | Path | None = None,
) -> SliceDataset | PatchDataset:
    """Random patches of volumes where their places are given, all slices otherwise.

    Args:
        data, transform, superpixels, store: as in :class:`PatchDataset` and :class:`SliceDataset`.
        patches: draws the places of patches, which then decides on slice axis and partitions; None cuts slices.
        slice_axis, partitions: of slices, as in :class:`SliceDataset`.
    """
    if patches is None:
        return SliceDataset(data, transform, slice_axis, partitions, superpixels=superpixels, store=store)
    return PatchDataset(data, patches, transform, superpixels=superpixels, store=store)
