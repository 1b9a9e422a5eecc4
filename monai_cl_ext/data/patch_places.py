# SPDX-License-Identifier: Apache-2.0
"""Where the random patches of a volume lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monai_cl_ext.arguments import one_of, per_axis, positive_integer, probability, whole_number

MULTIPLE = 16  # voxels, four times halved


def with_room(length: int, spacing: float) -> tuple[int, float]:
    """The side of a patch that is at most half of a volume, so that patches differ in their place, and its spacing.

    Args:
        length: of the volume along an axis, in voxels.
        spacing: of these voxels.

    Returns:
        Voxels, a multiple of 16, and their spacing: a finer one where 16 voxels are more than half of the volume.
    """
    size = length // 2 // MULTIPLE * MULTIPLE
    if size:
        return size, spacing
    half = max(length, 1) * spacing / 2
    digit = 10 ** (math.floor(math.log10(half / MULTIPLE)) - 1)
    return MULTIPLE, float(f"{math.floor(half / MULTIPLE / digit) * digit:.4g}")  # down to two digits


class RandomPatches:
    """Draws places of patches in volumes, as a pure function of (seed, epoch, row).

    The places along the slice axis at which a patch can begin are divided into ``partitions`` cells as slices are, so
    that a slice is a patch of one voxel's length. Row r of a volume begins in the cell r mod ``partitions``.

    Args:
        size: of a patch in voxels, one number for all axes or one for each axis of the volume.
        per_volume: rows of each volume in an epoch.
        partitions: S, number of cells.
        slice_axis: axis of the volume that is divided.
        foreground: probability that a patch has a voxel of the foreground at its center, as far as its cell and the
            volume's border allow; the class is drawn first, evenly among those that the cell has (nnU-Net, Isensee et
            al. 2021, forces a third of each batch to have one). Needs labels.
        neighbors: row 2 j + 1 lies half a patch beside row 2 j, on the axis that has most room (for SimTriplet).
        seed: of the draws.

    Raises:
        ValueError: when an argument is out of range, or ``per_volume`` is odd and ``neighbors`` are asked for.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        per_volume: int = 64,
        partitions: int = 4,
        slice_axis: int = 2,
        foreground: float = 0.0,
        neighbors: bool = False,
        seed: int = 0,
    ) -> None:
        self.size = per_axis("size", size, 3, positive_integer)
        self.per_volume = positive_integer("per_volume", per_volume)
        self.partitions = positive_integer("partitions", partitions)
        self.slice_axis = one_of("slice_axis", slice_axis, (0, 1, 2))
        self.foreground = probability("foreground", foreground)
        self.neighbors, self.seed = neighbors, whole_number("seed", seed)
        if neighbors and per_volume % 2:
            raise ValueError(f"per_volume must be even where rows are pairs of neighbors, found {per_volume}")
        plane = [length for axis, length in enumerate(self.size) if axis != slice_axis]
        self.lengths = np.array([self.size[slice_axis], *plane])  # the slice axis first, as arrays lie

    def cell(self, row: int) -> int:
        """The cell that a row of a volume belongs to."""
        return (row // 2 if self.neighbors else row) % self.partitions

    def partition_of(self, shape: np.ndarray, start: int) -> int:
        """The cell of a place along the slice axis."""
        return int(start) * self.partitions // self._places(shape)

    def has_all_cells(self, shape: np.ndarray) -> bool:
        """Whether each cell of a volume of this shape, (slices, H, W), has a place."""
        return self._places(shape) >= self.partitions

    def partitions_of(self, shape: np.ndarray) -> np.ndarray:
        """The partition of each row of a volume.

        It is -1 where the cell has no place, so that the row is drawn from all of them, and for the second neighbor of
        a pair, which may leave the cell.

        Args:
            shape: (slices, H, W).
        """
        cells = [self.cell(row) for row in range(self.per_volume)]
        known = [
            len(self._range(shape, cell)) > 0 and not (self.neighbors and row % 2) for row, cell in enumerate(cells)
        ]
        return np.where(known, cells, -1)

    def start(self, shape: np.ndarray, epoch: int, index: int, row: int, foreground: np.ndarray | None) -> np.ndarray:
        """Where a patch begins, (3,), the slice axis first; below 0 where the volume is smaller than a patch.

        Args:
            shape: (slices, H, W) of the volume.
            epoch: number of the epoch.
            index: of the row among those of all volumes.
            row: of the volume.
            foreground: (voxels, 4), class and place of voxels of the foreground; None is none.
        """
        second = self.neighbors and row % 2
        generator = np.random.default_rng((self.seed, epoch, index - second))
        room = np.maximum(shape - self.lengths, 0)
        along = self._range(shape, self.cell(row)) or range(int(room[0]) + 1)
        start = np.array([generator.integers(along.start, along.stop), *generator.integers(room[1:] + 1)])
        if generator.random() < self.foreground and foreground is not None and len(foreground):
            start = self._round_foreground(foreground, along, room, generator)
        if second:
            start = self._beside(start, room)
        return np.where(shape < self.lengths, -((self.lengths - shape) // 2), start)

    def _round_foreground(
        self, foreground: np.ndarray, along: range, room: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Where the patch round a voxel of the foreground begins; where the cell has no such voxel, round any."""
        slices, begins = foreground[:, 1], foreground[:, 1:] - self.lengths // 2
        reached = (slices >= along.start) & (slices < along.stop - 1 + self.lengths[0])
        chosen = np.flatnonzero(reached) if reached.any() else np.arange(len(foreground))
        classes = foreground[chosen, 0]
        chosen = chosen[classes == generator.choice(np.unique(classes))]
        start = np.clip(begins[generator.choice(chosen)], 0, room)
        start[0] = np.clip(start[0], along.start, along.stop - 1)
        return start

    def _beside(self, start: np.ndarray, room: np.ndarray) -> np.ndarray:
        """Where the neighbor of a patch begins."""
        axis = int(np.argmax(room / self.lengths))
        step = min(max(int(self.lengths[axis]) // 2, 1), int(room[axis]))
        moved = start.copy()
        moved[axis] += step if start[axis] + step <= room[axis] else -min(step, int(start[axis]))
        return moved

    def _places(self, shape: np.ndarray) -> int:
        """How many places along the slice axis a patch can begin at."""
        return int(max(shape[0] - self.lengths[0], 0)) + 1

    def _range(self, shape: np.ndarray, cell: int) -> range:
        """The places of a cell: those i with i S // n equal to it."""
        places = self._places(shape)
        first, end = (-(-number * places // self.partitions) for number in (cell, cell + 1))
        return range(first, end)
