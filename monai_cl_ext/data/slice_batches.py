# SPDX-License-Identifier: Apache-2.0
"""Batches of slices drawn at random, none twice in a step of all processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

from monai_cl_ext import distributed
from monai_cl_ext.arguments import positive_integer, whole_number
from monai_cl_ext.data.steps import steps_without_repeats


class SliceBatchSampler(Sampler[list[int]]):
    """Random batches for contrast of slices: a slice that stood twice in a step would be a negative of itself.

    No slice stands twice in a batch, nor in two processes' batches of one step, unless there are fewer than a step
    draws, which is warned of. In an epoch every slice comes equally often, give or take one. The batches are a pure
    function of (seed, epoch): call :meth:`set_epoch` before each epoch, or every epoch is the same. Rank and number of
    processes are those of ``torch.distributed`` when iteration starts.

    Args:
        data_source: whose items are drawn.
        batch_size: of this process.
        batches_per_epoch: likewise.
        seed: of the draws.

    Raises:
        ValueError: when an argument is out of range, or there is nothing to draw.
    """

    def __init__(self, data_source: Sized, batch_size: int, batches_per_epoch: int, seed: int = 0) -> None:
        self._data_source = data_source
        self.batch_size = positive_integer("batch_size", batch_size)
        self.batches_per_epoch = positive_integer("batches_per_epoch", batches_per_epoch)
        self.seed, self.epoch = whole_number("seed", seed), 0
        if len(data_source) == 0:
            raise ValueError("data_source: expected at least one slice or patch, found none; check the data")
        self._warn_of_too_few()

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches the next iteration gives."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        """Batches of this process in an epoch."""
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches of this process: lists of indices."""
        total, size = len(self._data_source), self.batch_size * distributed.world_size()
        copies = -(-size // total)  # 1 where there are enough
        generator = np.random.default_rng((self.seed, self.epoch))
        # Every process makes the plan of all, so that nothing has to be exchanged.
        drawn = steps_without_repeats(copies * total, size, self.batches_per_epoch, generator) % total
        mine = distributed.rank() * self.batch_size
        for step in drawn[:, mine : mine + self.batch_size]:
            yield step.tolist()

    def _warn_of_too_few(self) -> None:
        total, size = len(self._data_source), self.batch_size * distributed.world_size()
        if total < size:
            warnings.warn(
                f"found {total} slices or patches, and a step of {distributed.world_size()} process(es) draws {size}: "
                "some stand in it several times, and where slices are contrasted copies repel each other; lower "
                "batch_size, or give more data",
                stacklevel=3,
            )
