# SPDX-License-Identifier: Apache-2.0
"""Batches of slices drawn at random, none twice in a step of all processes."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

from monai_cl_ext import distributed
from monai_cl_ext.arguments import positive_integer, whole_number
from monai_cl_ext.data.steps import steps_without_repeats


class SliceBatchSampler(Sampler[list[int]]):
    """Random batches for contrast of slices: a slice that stood twice in a step would be a negative of itself.

    No slice stands twice in a batch, nor in two processes' batches of one step; in an epoch every slice comes equally
    often, give or take one. The batches are a pure function of (seed, epoch): call :meth:`set_epoch` before each epoch,
    or every epoch is the same. Rank and number of processes are those of ``torch.distributed`` when iteration starts.

    Args:
        data_source: whose items are drawn.
        batch_size: of this process.
        batches_per_epoch: likewise.
        seed: of the draws.

    Raises:
        ValueError: when an argument is out of range, or a step of all processes needs more items than there are; that
            is found again when iteration starts.
    """

    def __init__(self, data_source: Sized, batch_size: int, batches_per_epoch: int, seed: int = 0) -> None:
        self._data_source = data_source
        self.batch_size = positive_integer("batch_size", batch_size)
        self.batches_per_epoch = positive_integer("batches_per_epoch", batches_per_epoch)
        self.seed, self.epoch = whole_number("seed", seed), 0
        self._check_enough()

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches the next iteration gives."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        """Batches of this process in an epoch."""
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches of this process: lists of indices."""
        size = self._check_enough()
        generator = np.random.default_rng((self.seed, self.epoch))
        # Every process makes the plan of all, so that nothing has to be exchanged.
        drawn = steps_without_repeats(len(self._data_source), size, self.batches_per_epoch, generator)
        mine = distributed.rank() * self.batch_size
        for step in drawn[:, mine : mine + self.batch_size]:
            yield step.tolist()

    def _check_enough(self) -> int:
        """The items that a step of all processes needs."""
        needed = self.batch_size * distributed.world_size()
        if len(self._data_source) < needed:
            raise ValueError(
                f"found {len(self._data_source)} slices or patches, but a step of {distributed.world_size()} "
                f"process(es) draws {needed} different ones; lower batch_size, or give more data"
            )
        return needed
