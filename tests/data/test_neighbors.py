# SPDX-License-Identifier: Apache-2.0
"""Batches of adjacent slices: who is paired, how often, over epochs and processes."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch

from monai_cl_ext import distributed
from monai_cl_ext.data import NeighborBatchSampler


def slices(counts):
    volume = torch.cat([torch.full((n,), number) for number, n in enumerate(counts)])
    return volume, torch.cat([torch.arange(1, n + 1, dtype=torch.float64) / n for n in counts])


def pairs_of(batches):
    return [tuple(pair) for batch in batches for pair in np.reshape(batch, (-1, 2)).tolist()]


def epochs(sampler, count):
    for epoch in range(count):
        sampler.set_epoch(epoch)
        yield list(sampler)


def test_pairs_are_adjacent_slices_of_one_volume_and_every_pair_comes():
    volume, position = slices([2, 3, 4, 7])
    order = torch.randperm(len(volume), generator=torch.Generator().manual_seed(0))
    sampler = NeighborBatchSampler(volume[order], position[order], 4, seed=1)
    drawn = Counter(pair for batches in epochs(sampler, 400) for pair in pairs_of(batches))
    adjacent = {(i, i + 1) for i in range(len(volume) - 1) if volume[i] == volume[i + 1]}
    assert {tuple(order[list(pair)].tolist()) for pair in drawn} == adjacent
    inner = [count for pair, count in drawn.items() if volume[order[pair[0]]] == 3]
    assert min(inner) > 0.5 * max(inner)


def test_a_pass_holds_no_slice_twice_and_nearly_all():
    sampler = NeighborBatchSampler(*slices([9, 10, 12]), 4)
    assert len(sampler) == (4 + 4 + 5) // 2
    for batches in epochs(sampler, 20):
        rows = [row for batch in batches for row in batch]
        assert len(batches) == len(sampler) and len(rows) == len(set(rows)) == 24
        assert all(type(row) is int for row in rows)


def test_a_longer_epoch_goes_on_with_another_pass():
    sampler = NeighborBatchSampler(*slices([9, 10]), 6, batches_per_epoch=50)
    (batches,) = epochs(sampler, 1)
    assert len(sampler) == len(batches) == 50 and all(len(set(batch)) == 6 for batch in batches)
    uses = Counter(row for batch in batches for row in batch)
    assert len(uses) == 19 and min(uses[row] for row in range(1, 8)) > 0.5 * max(uses.values())


def test_batches_are_a_function_of_seed_and_epoch():
    def batches(seed, epoch):
        sampler = NeighborBatchSampler(*slices([8] * 5), 4, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(1)
    np.random.seed(1)
    assert batches(5, 4) == batches(5, 4)
    assert batches(5, 4) != batches(5, 3) and batches(0, 1) != batches(1, 0)


@pytest.mark.parametrize("batches_per_epoch", [None, 9])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_steps_of_one(world, batches_per_epoch, monkeypatch):
    data, found = slices([8, 9, 6, 11]), []
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        sampler = NeighborBatchSampler(*data, 4, seed=2, batches_per_epoch=batches_per_epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    steps = [sum(step, []) for step in zip(*found, strict=True)]
    assert all(len(step) == len(set(step)) == 4 * world for step in steps)
    monkeypatch.undo()
    assert steps == list(NeighborBatchSampler(*data, 4 * world, seed=2, batches_per_epoch=batches_per_epoch))


def test_volumes_of_one_slice_are_named_and_not_drawn():
    volume, position = slices([6, 1, 6, 1])
    with pytest.warns(UserWarning, match=r"2 volume\(s\) of one slice have no neighbors and are not drawn: 10, 30"):
        sampler = NeighborBatchSampler(10 * volume, position, 2)
    assert sampler.left_out == [10, 30]
    assert not {6, 13} & {row for batches in epochs(sampler, 20) for batch in batches for row in batch}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NeighborBatchSampler(*slices([2, 2]), 2).left_out == []


def test_slices_with_others_missing_between_them_are_no_neighbors():
    volume, position = slices([12, 6])
    kept = torch.tensor([0, 1, 2, 5, 8, 9, *range(12, 18)])  # slice 5 has no neighbor; 2 and 8 have one each
    position = position + 1e-7 * torch.rand(18, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match=r"1 slice\(s\) are farther .* are not drawn, of the volume\(s\) 0$"):
        sampler = NeighborBatchSampler(volume[kept], position[kept], 2)
    drawn = {tuple(kept[list(pair)].tolist()) for batches in epochs(sampler, 60) for pair in pairs_of(batches)}
    assert drawn == {(0, 1), (1, 2), (8, 9), *((i, i + 1) for i in range(12, 17))}
    assert sampler.left_out == []


def test_wrong_arguments_are_named(monkeypatch):
    volume, position = slices([6, 6])
    for arguments, message in [
        ((volume, position[1:], 2), r"found shapes \(12,\) and \(11,\)"),
        ((volume, position, 3), "batch_size must be even, two rows a pair, found 3"),
        ((volume, position, 0), "batch_size must be an integer of at least 1"),
        ((volume, position, 2, -1), "seed must be an integer of at least 0"),
        ((volume, position, 10), r"found 4 pair\(s\) .* in 2 volume\(s\), 0 of them of one slice.* needs 5: lower"),
        ((volume, position.where(position < 1, 0.5), 2), r"found equal ones or NaN in the volume\(s\) 0, 1: give"),
        ((volume, position.where(position < 1, float("nan")), 2), "found equal ones or NaN"),
        ((*slices([1, 1]), 2), r"found 0 pair\(s\) of adjacent slices in 2 volume\(s\), 2 of them of one slice"),
    ]:
        with pytest.raises(ValueError, match=message):
            NeighborBatchSampler(*arguments)
    with pytest.raises(ValueError, match="batches_per_epoch"):
        NeighborBatchSampler(volume, position, 2, batches_per_epoch=0)
    sampler = NeighborBatchSampler(volume, position, 6)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"a step of 2 process\(es\) needs 6"):
        next(iter(sampler))
