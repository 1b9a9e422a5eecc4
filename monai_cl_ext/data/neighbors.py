# SPDX-License-Identifier: Apache-2.0
"""Batches of pairs of adjacent slices."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from monai_cl_ext import distributed
from monai_cl_ext.arguments import positive_integer, whole_number
from monai_cl_ext.names import first_names

TOLERANCE = 1.5
"""Adjacent slices are no farther apart than so many times the smallest step of their volume."""


class NeighborBatchSampler(Sampler[list[int]]):
    """Batches whose rows 2 k and 2 k + 1 are adjacent slices of one volume (for SimTriplet, Liu et al. 2021).

    A pass over the data pairs each volume's slices one by one, from its first or from its second slice on at random, so
    that no slice comes twice in a pass and each meets both of its neighbors over the passes; what is left at an end
    waits for another pass. Slices between which others are missing are no neighbors. Passes, shuffled, fill one step
    after another; the pairs that fill no whole step are left out, so that a step of all processes holds no slice twice.

    The batches are a pure function of (seed, epoch): call :meth:`set_epoch` before each epoch. Rank and number of
    processes are those of ``torch.distributed`` when iteration starts.

    Args:
        volume: volume of each slice, (slices,) integers.
        position: of each slice in its volume, (slices,) numbers along the slice axis that differ within a volume.
        batch_size: rows of a batch of this process, even.
        seed: of the draws.
        batches_per_epoch: of this process; None is one pass.

    Raises:
        ValueError: when the lengths differ, two slices of a volume have one position, ``batch_size`` is odd, or a pass
            has too few pairs for a step.

    Warns of volumes of one slice and of slices far from all others, which are not drawn.
    """

    def __init__(
        self,
        volume: Sequence[int] | Any,
        position: Sequence[float] | Any,
        batch_size: int,
        seed: int = 0,
        *,
        batches_per_epoch: int | None = None,
    ) -> None:
        volumes, positions = np.asarray(volume), np.asarray(position, dtype=float)
        if volumes.ndim != 1 or volumes.shape != positions.shape:
            raise ValueError(
                f"volume and position must be one number a slice, found shapes {volumes.shape} and {positions.shape}"
            )
        self.batch_size = positive_integer("batch_size", batch_size)
        if self.batch_size % 2:
            raise ValueError(f"batch_size must be even, two rows a pair, found {batch_size}")
        self.seed, self.epoch = whole_number("seed", seed), 0
        self.batches_per_epoch = batches_per_epoch
        if batches_per_epoch is not None:
            positive_integer("batches_per_epoch", batches_per_epoch)
        # Slices in the order of their volumes; of each its run of adjacent slices, its place there and how many it has.
        self._slices = np.lexsort((positions, volumes))
        ordered = volumes[self._slices]
        numbers, count = np.unique(ordered, return_counts=True)
        self._volumes, self.left_out = len(numbers), numbers[count == 1].tolist()
        _, first, self._row, self._count = np.unique(
            _runs(ordered, positions[self._slices]), return_index=True, return_inverse=True, return_counts=True
        )
        self._place = np.arange(len(volumes)) - first[self._row]
        self._check_enough()
        if self.left_out:
            warnings.warn(
                f"{len(self.left_out)} volume(s) of one slice have no neighbors and are not drawn: "
                f"{first_names(self.left_out, 10)}",
                stacklevel=2,
            )
        alone = ordered[(self._count == 1)[self._row] & ~np.isin(ordered, self.left_out)]
        if len(alone):
            warnings.warn(
                f"{len(alone)} slice(s) are farther from all others than {TOLERANCE} times the smallest step of their "
                f"volume and are not drawn, of the volume(s) {first_names(np.unique(alone).tolist(), 10)}",
                stacklevel=2,
            )

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches the next iteration gives."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        """Batches of this process in an epoch; the same in every process."""
        return self.batches_per_epoch or self._fewest_pairs() // self._pairs_per_step()

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches of this process: lists of slice indices."""
        self._check_enough()
        generator = np.random.default_rng((self.seed, self.epoch))
        size, left = self._pairs_per_step(), len(self)
        own = distributed.rank() * self.batch_size
        while left:
            # Every process makes the steps of all, so that nothing has to be exchanged.
            pairs = self._pass(generator)
            steps = pairs[: min(len(pairs) // size, left) * size].reshape(-1, 2 * size)
            left -= len(steps)
            for step in steps:
                yield step[own : own + self.batch_size].tolist()

    def _pass(self, generator: np.random.Generator) -> np.ndarray:
        """Disjoint pairs of neighbors in random order, (pairs, 2)."""
        start = generator.integers(2, size=len(self._count)) * (self._count > 2)
        fits = (self._place % 2 == start[self._row]) & (self._place + 1 < self._count[self._row])
        first = generator.permutation(np.flatnonzero(fits))
        return self._slices[np.stack([first, first + 1], axis=1)]

    def _fewest_pairs(self) -> int:
        """Those of a pass that leaves out as many ends as one can."""
        return int(np.where(self._count > 2, (self._count - 1) // 2, self._count // 2).sum())

    def _pairs_per_step(self) -> int:
        return self.batch_size // 2 * distributed.world_size()

    def _check_enough(self) -> None:
        found, needed = self._fewest_pairs(), self._pairs_per_step()
        if found < needed:
            raise ValueError(
                f"found {found} pair(s) of adjacent slices in {self._volumes} volume(s), {len(self.left_out)} of "
                f"them of one slice; a step of {distributed.world_size()} process(es) needs {needed}: lower batch_size "
                "or add volumes"
            )


def _runs(volumes: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Number of the run of adjacent slices that each slice is in, of slices in their order, (slices,)."""
    within = volumes[1:] == volumes[:-1]
    step = np.where(within, np.diff(positions), np.inf)
    if not (step > 0).all():
        raise ValueError(
            "position must be another number for each slice of a volume, found equal ones or NaN in the volume(s) "
            f"{first_names(np.unique(volumes[1:][~(step > 0)]).tolist(), 10)}: give the places of the slices along "
            "their axis"
        )
    numbers, row = np.unique(volumes, return_inverse=True)
    smallest = np.full(len(numbers), np.inf)
    np.minimum.at(smallest, row[1:], step)
    return np.append(0, np.cumsum(~within | (step > TOLERANCE * smallest[row[1:]])))[: len(volumes)]
