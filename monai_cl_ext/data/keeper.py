# SPDX-License-Identifier: Apache-2.0
"""What keeps prepared volumes, in memory or on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from monai_cl_ext.data.cropping import ClassCounts
from monai_cl_ext.data.told import Told


class Facts(NamedTuple):
    """What is known of a prepared volume without its arrays.

    Attributes:
        shape: of the image, (slices, C, H, W).
        spacing: in the units of the affine, axes as in the volume.
        axes: the direction in which each runs, see :func:`axis_codes`.
        constant: whether it has nearly one intensity; such a volume has no arrays.
        cut: what cropping cuts away of the label.
        told: what was warned of.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    axes: str
    constant: bool
    cut: ClassCounts
    told: Told


class Arrays(Protocol):
    """The arrays of volumes by their numbers; nobody writes to them."""

    def image(self, number: int) -> np.ndarray:
        """Float16 (slices, C, H, W)."""

    def label(self, number: int) -> np.ndarray:
        """uint8 (slices, 1, H, W)."""

    def foreground(self, number: int) -> np.ndarray:
        """int32 (voxels, 4): class, slice, row and column of some voxels of each foreground class."""

    def superpixel(self, number: int) -> np.ndarray:
        """Of one to four bytes, (slices, 1, H, W)."""


class Keeper(Protocol):
    """Keeps prepared volumes somewhere."""

    def keep(self, place: int, case: Mapping[str, Any]) -> Facts:
        """Prepares the volume of a case, unless it is kept already; called by several threads."""

    def arrays(self, places: Sequence[int]) -> Arrays:
        """The arrays of the volumes at these places, counted from 0."""
