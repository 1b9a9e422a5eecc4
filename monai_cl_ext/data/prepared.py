# SPDX-License-Identifier: Apache-2.0
"""Prepares the volumes of a dataset once, in memory or in a store on disk, and serves their arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.transforms import Compose, LoadImage, LoadImaged, RandomizableTrait
from torch import Tensor

from monai_cl_ext.cores import threads_that_read
from monai_cl_ext.data.cropping import warn_of_cut_classes
from monai_cl_ext.data.file_names import case_name, image_file, refuse_no_cases
from monai_cl_ext.data.in_memory import InMemory
from monai_cl_ext.data.keeper import Arrays, Facts, Keeper
from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data.orientation import warn_of_other_order
from monai_cl_ext.data.store import Store
from monai_cl_ext.data.superpixel_maps import SuperpixelMaps
from monai_cl_ext.data.told import listening
from monai_cl_ext.data.volume import Transform
from monai_cl_ext.names import first_names
from monai_cl_ext.progress import progress_bar

MANY_VOLUMES = 20
WAITING = 1000
"""Volumes that wait for a thread; each takes about 2 KB meanwhile."""


class PreparedVolumes(NamedTuple):
    """Volumes that are ready to be cut.

    Attributes:
        files, patients: of each volume.
        axes: the direction in which the axes of each run, see :func:`axis_codes`.
        shapes: (volumes, 4), slices, C, H and W of each.
        spacings: (volumes, 3), in the units of the affine.
        labels, superpixels: whether the arrays have them.
        arrays: of the volumes.
    """

    files: list[str]
    patients: list[str]
    axes: list[str]
    shapes: np.ndarray
    spacings: np.ndarray
    labels: bool
    superpixels: bool
    arrays: Arrays


def prepared_volumes(
    data: Sequence[Mapping[str, Any]],
    transform: Transform,
    slice_axis: int,
    superpixels: SuperpixelMaps | None,
    store: str | Path | None,
    workers: int | None = None,
    progress: bool = True,
) -> PreparedVolumes:
    """Prepares all volumes but those of one intensity.

    Args:
        data: {"image", "label"?, "patient"?} of each volume; all with a label or none.
        transform: deterministic, of a whole volume.
        slice_axis: axis of the volume that counts the slices.
        superpixels: makes their maps, or None.
        store: folder of a store; None or an empty one keeps volumes in memory.
        workers: threads that prepare volumes; None is one a core, at most eight.
        progress: shows a bar where there are many volumes.

    Raises:
        FileNotFoundError, PermissionError, TypeError: when a file is absent, may not be read, or is an array instead.
        ValueError: when there are no volumes with contrast, or one cannot be prepared. The message names the file.

    Warns of volumes of one intensity, of volumes whose axes follow those of the body in another order than most, and
    of the share of each class that cropping cuts away.
    """
    _refuse_arrays(data := list(data), transform)
    _check_data(data)
    _refuse_random(transform)
    keeper = _keeper(store, transform, slice_axis, superpixels)
    facts = _kept(keeper, data, workers or threads_that_read(), progress)
    for found in facts:
        for category, message in found.told:
            warnings.warn(message, category, stacklevel=4)
    names = [image_file(case) for case in data]
    places = [place for place, found in enumerate(facts) if not found.constant]
    dropped = [name for name, found in zip(names, facts, strict=True) if found.constant]
    if dropped:
        warnings.warn(
            f"{len(dropped)} of {len(data)} volume(s) are dropped, since all their voxels, or nearly all, have "
            f"one intensity: {first_names(dropped)}",
            stacklevel=4,
        )
    warn_of_other_order([names[place] for place in places], [facts[place].axes for place in places])
    warn_of_cut_classes([names[place] for place in places], [facts[place].cut for place in places])
    if not places:
        raise ValueError(
            f"data: expected at least one volume with contrast, found {len(dropped)} constant one(s); check the files"
        )
    return PreparedVolumes(
        [names[place] for place in places],
        [str(data[place].get("patient", case_name(names[place]))) for place in places],
        [facts[place].axes for place in places],
        np.array([facts[place].shape for place in places]),
        np.array([facts[place].spacing for place in places]),
        bool(data[0].get("label")),
        superpixels is not None,
        keeper.arrays(places),
    )


def _keeper(store: str | Path | None, transform: Transform, slice_axis: int, maps: SuperpixelMaps | None) -> Keeper:
    return Store(store, transform, slice_axis, maps) if store else InMemory(transform, slice_axis, maps)


def _kept(keeper: Keeper, data: list[Mapping[str, Any]], workers: int, progress: bool) -> list[Facts]:
    """The facts of all volumes. Processes that share a store share its making, since each begins elsewhere."""
    first = os.getpid() % len(data) if isinstance(keeper, Store) else 0
    places = [*range(first, len(data)), *range(first)]
    with listening(), ThreadPoolExecutor(workers) as pool:
        parts = (places[begin : begin + WAITING] for begin in range(0, len(places), WAITING))
        found = chain.from_iterable(pool.map(lambda place: keeper.keep(place, data[place]), part) for part in parts)
        quiet = not progress or len(data) < MANY_VOLUMES
        bar = progress_bar(found, "Volumes", len(data), unit="volume", quiet=quiet)
        try:
            facts = dict(zip(places, bar, strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [facts[place] for place in range(len(data))]


def _refuse_arrays(data: list[Mapping[str, Any]], transform: Transform) -> None:
    """Refuses what is no case, and volumes in memory where files are read; labels are known by their files anyhow."""
    refuse_no_cases(data)
    steps = transform.flatten().transforms if isinstance(transform, Compose) else [transform]
    reads = steps and isinstance(steps[0], (LoadCased, LoadImage, LoadImaged))
    for case in data:
        for key in ("image", "label") if reads else ("label",):
            if isinstance(case.get(key), (np.ndarray, Tensor)):
                raise TypeError(
                    f'data: expected a path, or a list of paths, as "{key}", found {type(case[key]).__name__}: save it '
                    "as NIfTI, or keep arrays in a dataset of your own, such as monai.data.CacheDataset"
                )


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


def _refuse_random(transform: Transform) -> None:
    for step in transform.flatten().transforms if isinstance(transform, Compose) else [transform]:
        if isinstance(step, RandomizableTrait):
            raise ValueError(
                f"transform: {type(step).__name__} is random, but is applied once to each volume; "
                "keep the deterministic steps here and augment batches instead"
            )
