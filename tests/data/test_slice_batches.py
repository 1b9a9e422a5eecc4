# SPDX-License-Identifier: Apache-2.0
"""Batches of single slices: none twice in a step of all processes, all equally often, the same in every run."""

from collections import Counter

import pytest

from monai_cl_ext import distributed
from monai_cl_ext.data import SliceBatchSampler


def as_ranks(monkeypatch, rank, world):
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "world_size", lambda: world)


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size, total", [(4, 12), (4, 13), (5, 29), (4, 50)])
def test_no_slice_stands_twice_in_a_step_of_all_processes(world, size, total, monkeypatch):
    epochs = []
    for rank in range(world):
        as_ranks(monkeypatch, rank, world)
        sampler = SliceBatchSampler(range(total), size, 40, seed=3)
        sampler.set_epoch(2)
        epochs.append(list(sampler))
        assert len(epochs[-1]) == len(sampler) == 40 and all(len(batch) == size for batch in epochs[-1])
        assert epochs[-1] == list(sampler) and all(type(index) is int for batch in epochs[-1] for index in batch)
    uses = Counter()
    for step in zip(*epochs, strict=True):
        drawn = [index for batch in step for index in batch]
        assert len(set(drawn)) == size * world
        uses.update(drawn)
    assert set(uses) == set(range(total)) and max(uses.values()) - min(uses.values()) <= 1


def test_batches_are_a_function_of_seed_and_epoch():
    def epoch(seed, number):
        sampler = SliceBatchSampler(range(30), 4, 5, seed)
        sampler.set_epoch(number)
        return list(sampler)

    assert epoch(0, 1) == epoch(0, 1) and epoch(0, 1) != epoch(0, 2) != epoch(1, 2) != epoch(2, 1)


@pytest.mark.parametrize("world, total", [(1, 3), (2, 7)])
def test_fewer_slices_than_a_step_draws_are_warned_of_and_spread_evenly(world, total, monkeypatch):
    epochs = []
    for rank in range(world):
        as_ranks(monkeypatch, rank, world)
        with pytest.warns(
            UserWarning, match=rf"found {total} .* a step of {world} process\(es\) draws {4 * world}: some"
        ):
            epochs.append(list(SliceBatchSampler(range(total), 4, 50)))
    for step in zip(*epochs, strict=True):
        assert max(Counter(index for batch in step for index in batch).values()) <= 2
    with pytest.raises(ValueError, match="data_source: expected at least one slice or patch, found none"):
        SliceBatchSampler([], 4, 5)


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"batches_per_epoch": 0}, {"seed": -1}])
def test_arguments_out_of_range_are_named(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        SliceBatchSampler(**{"data_source": range(9), "batch_size": 2, "batches_per_epoch": 1, **given})
