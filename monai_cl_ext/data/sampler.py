# SPDX-License-Identifier: Apache-2.0
"""Batches of m volumes x S partitions, one random slice of each."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from monai_cl_ext import distributed
from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.data.steps import steps_without_repeats
from monai_cl_ext.names import first_names

logger = logging.getLogger(__name__)

ROOM = "to use them lower partitions or, of 3D patches, image_size or pixdim along the slice axis"
"""What helps volumes that lack a partition."""


class PartitionBatchSampler(Sampler[list[int]]):
    """Batches for contrast across partitions (Chaitanya et al. 2020, section 3.2).

    A batch holds ``volumes_per_batch`` volumes with one random slice of each of their S partitions, volume by volume:
    row r has partition r mod S. No volume stands twice in a batch, nor in two processes' batches of one step; within
    an epoch every volume is used equally often, give or take one. Two volumes of one patient may meet in a batch.

    The batches are a pure function of (seed, epoch): call :meth:`set_epoch` before each epoch, or every epoch is the
    same. Rank and number of processes are those of ``torch.distributed`` when iteration starts.

    Args:
        volume: volume of each slice, (slices,) integers.
        partition: partition 0 ... S-1 of each slice, (slices,) integers; slices of partition -1 are never drawn.
        volumes_per_batch: m, of this process.
        seed: of the draws.
        partitions: S, as the dataset has it.
        batches_per_epoch: of this process; None visits each volume once, rounded up.
        patient: patient of each volume, in ascending order of volume numbers; only for :meth:`report`, which is logged.

    Raises:
        ValueError: when the lengths differ, a partition is no whole number or none of the S, or fewer volumes have all
            partitions than a step of all processes needs.
    """

    def __init__(
        self,
        volume: Sequence[int] | Any,
        partition: Sequence[int] | Any,
        volumes_per_batch: int,
        seed: int = 0,
        *,
        partitions: int = 4,
        batches_per_epoch: int | None = None,
        patient: Sequence[str] | None = None,
    ) -> None:
        volumes, cells = np.asarray(volume), _whole("partition", partition)
        if volumes.ndim != 1 or volumes.shape != cells.shape:
            raise ValueError(
                f"volume and partition must be one integer a slice, found shapes {volumes.shape} and {cells.shape}"
            )
        self.partitions = positive_integer("partitions", partitions)
        if cells.max(initial=-1) >= partitions:
            raise ValueError(f"partition must be below partitions, {partitions}, found {cells.max()}; set partitions")
        self.volumes_per_batch = positive_integer("volumes_per_batch", volumes_per_batch)
        if batches_per_epoch is not None:
            batches_per_epoch = positive_integer("batches_per_epoch", batches_per_epoch)
        self.batches_per_epoch = batches_per_epoch
        if seed < 0:
            raise ValueError(f"seed must be an integer of at least 0, found {seed!r}")
        self.seed, self.epoch = int(seed), 0
        numbers, row = np.unique(volumes, return_inverse=True)
        if patient is not None and len(patient) != len(numbers):
            raise ValueError(f"patient must name each of the {len(numbers)} volumes, found {len(patient)} names")
        self._patient = patient

        # The slices of a (volume, partition) lie side by side in _slices, from _first on.
        drawable = np.flatnonzero(cells >= 0)
        cell = row[drawable] * self.partitions + cells[drawable]
        self._slices = drawable[np.argsort(cell, kind="stable")]
        count = np.bincount(cell, minlength=len(numbers) * self.partitions)
        first = (np.cumsum(count) - count).reshape(-1, self.partitions)
        count = count.reshape(-1, self.partitions)
        usable = (count > 0).all(axis=1)
        self._first, self._count = first[usable], count[usable]
        self.volumes = numbers[usable].tolist()
        self.left_out = numbers[~usable].tolist()
        self._check_enough()
        if self.left_out:
            warnings.warn(self._left_out_message(), stacklevel=2)
        logger.info(self.report())

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches the next iteration gives."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        """Batches of this process in an epoch; the same in every process."""
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return -(-len(self.volumes) // self._volumes_per_step())

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches of this process: lists of slice indices."""
        self._check_enough()
        generator = np.random.default_rng((self.seed, self.epoch))
        # Every process makes the plan of all, so that nothing has to be exchanged.
        drawn = steps_without_repeats(len(self.volumes), self._volumes_per_step(), len(self), generator)
        uniform = generator.random((*drawn.shape, self.partitions))
        slices = self._slices[self._first[drawn] + (uniform * self._count[drawn]).astype(np.int64)]
        mine = distributed.rank() * self.volumes_per_batch
        for step in slices[:, mine : mine + self.volumes_per_batch]:
            yield step.ravel().tolist()

    def report(self) -> str:
        """What was found: usable volumes, volumes left out, patients with several volumes."""
        lines = [
            f"{len(self.volumes)} volumes with {self.partitions} partitions, {len(self)} batches an epoch of "
            f"{self.volumes_per_batch} volumes x {self.partitions} partitions"
        ]
        if self.left_out:
            lines.append(self._left_out_message())
        if self._patient is not None:
            names, counts = np.unique(np.asarray(self._patient), return_counts=True)
            lines.append(
                f"{len(names)} patients, {int((counts > 1).sum())} of them with several volumes, "
                "which may meet in a batch"
            )
        return "\n".join(lines)

    def _volumes_per_step(self) -> int:
        return self.volumes_per_batch * distributed.world_size()

    def _check_enough(self) -> None:
        needed = self._volumes_per_step()
        if len(self.volumes) < needed:
            room = f"; {len(self.left_out)} are too short: {ROOM}" if self.left_out else ""
            raise ValueError(
                f"found {len(self.volumes)} volume(s) with a slice in each of {self.partitions} partitions; "
                f"a batch needs {self.volumes_per_batch} in each of "
                f"{distributed.world_size()} process(es), {needed} in all; lower volumes_per_batch or add volumes{room}"
            )

    def _left_out_message(self) -> str:
        return (
            f"{len(self.left_out)} volume(s) have no slice in one or more of {self.partitions} partitions and are not "
            f"drawn: {first_names(self.left_out, 10)}; {ROOM}"
        )


def _whole(name: str, values: Sequence[int] | Any) -> np.ndarray:
    """Integers, also those that a table keeps as floats since a column of integers has no NaN."""
    numbers = np.asarray(values)
    if numbers.dtype.kind == "f" and (numbers == np.round(numbers)).all():
        return numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu":
        wrong = numbers[numbers != np.round(numbers)][:1].tolist() if numbers.dtype.kind == "f" else []
        raise ValueError(
            f"{name} must be integers, found {numbers.dtype}{f' with {wrong[0]:g}' if wrong else ''}: give -1 to "
            f"slices without a {name}, as by pandas' fillna(-1)"
        )
    return numbers
