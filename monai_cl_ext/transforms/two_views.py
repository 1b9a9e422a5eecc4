# SPDX-License-Identifier: Apache-2.0
"""Two views of one image or item, as MONAI transforms."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import (
    CastToTyped,
    Compose,
    EnsureTyped,
    ImageFilterd,
    InvertibleTransform,
    Lambdad,
    MapTransform,
    RandImageFilterd,
    RandLambdad,
    Randomizable,
    RandSimulateLowResolutiond,
    RandSmoothFieldAdjustContrastd,
    RandSmoothFieldAdjustIntensityd,
    RandTorchVisiond,
    ToDeviced,
    TorchVisiond,
    ToTensord,
)
from torch import Tensor

from .monai import RandPolicy, RandPolicyd
from .policies.policy import ViewPolicy

MAX_SEED = 2**31 - 1

INTENSITIES_ALONE = (
    CastToTyped, EnsureTyped, ImageFilterd, RandImageFilterd, RandSimulateLowResolutiond,
    RandSmoothFieldAdjustContrastd, RandSmoothFieldAdjustIntensityd, ToDeviced, ToTensord,
)  # fmt: skip
"""MONAI's transforms that keep every voxel in its place, beside those of its module "intensity"."""

OF_THE_CALLER = (Lambdad, RandLambdad, RandTorchVisiond, TorchVisiond)
"""Those that do what the caller gave them, which may move voxels or not."""


class _TwoDraws(Randomizable, InvertibleTransform):
    """A random transform under two different seeds of MONAI's random state."""

    def __init__(self, transform: Any) -> None:
        if not (isinstance(transform, Randomizable) and callable(transform)):
            raise TypeError(
                f"{type(self).__name__} takes a ViewPolicy or a random MONAI transform with set_random_state, found "
                f"{transform!r}"
            )
        self.transform = transform
        self.seeds = (0, 1)

    def randomize(self, data: Any = None) -> None:
        """Draws two different seeds of the transform."""
        first = int(self.R.randint(MAX_SEED))
        self.seeds = (first, (first + 1 + int(self.R.randint(MAX_SEED - 1))) % MAX_SEED)

    def _view(self, entry: Any, seed: int) -> Any:
        """The transform of an entry under one seed."""
        self.transform.set_random_state(seed=seed)
        return self.transform(entry)

    def _inverse_view(self, entry: Any) -> Any:
        """A view on the lattice of its input; unchanged by a transform that moves nothing."""
        return self.transform.inverse(entry) if isinstance(self.transform, InvertibleTransform) else entry


class TwoViews(_TwoDraws):
    """Two views of one image (C, *S) under two different draws, as a MONAI array transform.

    Args:
        transform: a ``ViewPolicy``, or any random MONAI array transform, or a ``Compose`` of array transforms.
        mode: of a policy, "bilinear" or "nearest", as in ``RandPolicy``.

    Raises:
        TypeError: when the transform is neither a policy nor a random transform.
    """

    def __init__(self, transform: ViewPolicy | Randomizable | Compose, mode: str = "bilinear") -> None:
        super().__init__(RandPolicy(transform, mode=mode) if isinstance(transform, ViewPolicy) else transform)

    def __call__(self, img: np.ndarray | Tensor) -> list[Tensor]:
        """The two views, (C, *V) each."""
        self.randomize()
        return [self._view(deepcopy(img), seed) for seed in self.seeds]

    def inverse(self, data: Sequence[Tensor]) -> list[Tensor]:
        """The two views on the lattice of the image."""
        return [self._inverse_view(view) for view in data]


class TwoViewsd(_TwoDraws, MapTransform):
    """Two views of each key, ``<key>_1`` and ``<key>_2``, under two different draws; the key itself does not change.

    Within a view all keys get the same draw, so that a label moves with its image. (A MONAI ``Rand...d`` over two keys
    draws once for both.)

    Args:
        keys: entries to make views of, each (C, *S).
        transform: a ``ViewPolicy``, or any random MONAI transform: a dictionary transform over the same keys, an array
            transform of one entry, or a ``Compose`` of either kind.
        mode: of a policy, "bilinear" or "nearest", one for all keys or one for each, as in ``RandPolicyd``; other
            transforms have their own.
        allow_missing_keys: skip keys that an item does not have. (A dictionary transform needs its own.)

    Raises:
        TypeError: when the transform is neither a policy nor a random transform.
        ValueError: when a dictionary transform lacks one of the keys, so that this one would stay where it is while the
            others move. What changes intensities alone may lack keys.
        KeyError: on use, when an item already has an entry of a view's name.
    """

    def __init__(
        self,
        keys: KeysCollection,
        transform: ViewPolicy | Randomizable | Compose,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if isinstance(transform, ViewPolicy):
            transform = RandPolicyd(self.keys, transform, mode=mode, allow_missing_keys=True)
        _TwoDraws.__init__(self, transform)
        _check_keys(self.keys, transform)
        self.takes_items = _takes_items(transform)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with two views of each key."""
        self.randomize()
        item = dict(data)
        keys = list(self.key_iterator(item))
        for number, seed in enumerate(self.seeds, start=1):
            entries = {key: deepcopy(data[key]) for key in keys}
            if self.takes_items:
                view = self._view(entries, seed)
            else:
                view = {key: self._view(entry, seed) for key, entry in entries.items()}
            for key in keys:
                name = f"{key}_{number}"
                if name in data:
                    raise KeyError(
                        f"TwoViewsd writes {name!r}, which the item has already; rename or delete that entry"
                    )
                item[name] = view[key]
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with those views that it has on the lattices of their keys."""
        item = dict(data)
        for number in (1, 2):
            names = {key: f"{key}_{number}" for key in self.keys if f"{key}_{number}" in item}
            entries = {key: item[name] for key, name in names.items()}
            if self.takes_items and entries:
                entries = self._inverse_view(entries)
            elif entries:
                entries = {key: self._inverse_view(entry) for key, entry in entries.items()}
            item.update({name: entries[key] for key, name in names.items()})
        return item


def _takes_items(transform: Any) -> bool:
    """Whether a transform takes dictionaries: it, or any that it composes."""
    if isinstance(transform, Compose):
        return any(_takes_items(each) for each in transform.transforms)
    return isinstance(transform, MapTransform)


def _check_keys(keys: Sequence[Hashable], transform: Any) -> None:
    """Refuses dictionary transforms that lack a key, and are not known to keep every voxel in its place."""
    if isinstance(transform, Compose):
        for each in transform.transforms:
            _check_keys(keys, each)
    elif isinstance(transform, MapTransform) and not _keeps_places(transform):
        lacking = [key for key in keys if key not in transform.keys]
        if not lacking:
            return
        told = f"{type(transform).__name__} has the keys {list(transform.keys)}, expected {list(keys)} as TwoViewsd has"
        if isinstance(transform, OF_THE_CALLER):
            warnings.warn(f"{told}: be sure that it moves no voxel, since {lacking} stay where they are", stacklevel=3)
            return
        raise ValueError(
            f"{told}: {lacking} would stay where the others may move; give it all keys, or TwoViewsd its keys alone"
        )


def _keeps_places(transform: MapTransform) -> bool:
    """Whether it is one of those that are known to change nothing but intensities or number types."""
    if isinstance(transform, RandPolicyd):
        return not transform.policy.moves
    known = any(base.__module__.startswith("monai.transforms.intensity.") for base in type(transform).__mro__)
    return known or isinstance(transform, INTENSITIES_ALONE)


TwoViewsD = TwoViewsDict = TwoViewsd
