# SPDX-License-Identifier: Apache-2.0
"""Two views of one item, as a MONAI dictionary transform."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from monai.config import KeysCollection
from monai.transforms import Compose, MapTransform, Randomizable

from .monai_forms import RandPolicyd
from .policy import ViewPolicy

MAX_SEED = 2**31 - 1


class TwoViewsd(Randomizable, MapTransform):
    """Writes two views of each key, ``<key>_1`` and ``<key>_2``, under two different draws; the key itself stays.

    Within a view all keys share one draw, so that a label moves as its image does. (A MONAI ``Rand...d`` over two keys
    draws once for both.)

    Args:
        keys: entries to make views of, each (C, *S).
        transform: a ``ViewPolicy``, or any random MONAI transform: a dictionary transform over the same keys, an array
            transform of one entry, or a ``Compose`` of either kind.
        mode: of a policy, "bilinear" or "nearest", one for all keys or one for each, as in ``RandPolicyd``; a transform
            has its own.
        allow_missing_keys: leave out keys that an item does not have. (A dictionary transform needs its own.)

    Raises:
        TypeError: when the transform is neither a policy nor a random transform.
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
            transform = RandPolicyd(self.keys, transform, mode, allow_missing_keys=True)
        elif not (isinstance(transform, Randomizable) and callable(transform)):
            raise TypeError(
                f"TwoViewsd takes a ViewPolicy or a random MONAI transform with set_random_state, found {transform!r}"
            )
        self.transform = transform
        self.takes_items = _takes_items(transform)
        self.seeds = (0, 1)

    def randomize(self, data: Any = None) -> None:
        """Draws two different seeds of the transform."""
        first = int(self.R.randint(MAX_SEED))
        self.seeds = (first, (first + 1 + int(self.R.randint(MAX_SEED - 1))) % MAX_SEED)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with two views of each key."""
        self.randomize()
        item = dict(data)
        keys = list(self.key_iterator(item))
        for number, seed in enumerate(self.seeds, start=1):
            view = self._view({key: deepcopy(data[key]) for key in keys}, seed)
            for key in keys:
                name = f"{key}_{number}"
                if name in data:
                    raise KeyError(
                        f"TwoViewsd writes {name!r}, which the item has already; rename or delete that entry"
                    )
                item[name] = view[key]
        return item

    def _view(self, entries: dict[Hashable, Any], seed: int) -> Mapping[Hashable, Any]:
        """The entries under the draw of one seed."""
        if self.takes_items:
            self.transform.set_random_state(seed=seed)
            return self.transform(entries)
        view = {}
        for key, entry in entries.items():
            self.transform.set_random_state(seed=seed)  # anew for each key, so that all have the same draw
            view[key] = self.transform(entry)
        return view


def _takes_items(transform: Any) -> bool:
    """Whether a transform takes dictionaries: it, or any that it composes."""
    if isinstance(transform, Compose):
        return any(_takes_items(each) for each in transform.transforms)
    return isinstance(transform, MapTransform)


TwoViewsD = TwoViewsDict = TwoViewsd
