# SPDX-License-Identifier: Apache-2.0
"""Batches of volumes x partitions: who meets whom, how often, and the same in every run."""

from collections import Counter

import numpy as np
import pytest
import torch

from monai_cl_ext import distributed
from monai_cl_ext.data import PartitionBatchSampler, slice_partitions


def slices(counts, partitions=4, rule="even"):
    volume = torch.cat([torch.full((n,), v) for v, n in enumerate(counts)])
    partition = torch.cat([slice_partitions(n, partitions, rule) for n in counts])
    return volume, partition


def as_ranks(monkeypatch, rank, world):
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "world_size", lambda: world)


@pytest.mark.parametrize("batches", [None, 1, 7, 50])
@pytest.mark.parametrize("per_batch", [1, 3, 7, 11])
def test_batches_are_whole_volumes_in_partition_order(per_batch, batches):
    volume, partition = slices([5, 9, 4, 12, 8, 7, 10, 6, 11, 4, 8])
    sampler = PartitionBatchSampler(volume, partition, per_batch, seed=1, batches_per_epoch=batches)
    epoch = list(sampler)
    assert len(epoch) == len(sampler) == (batches or -(-11 // per_batch))
    uses = Counter()
    for batch in epoch:
        assert len(batch) == 4 * per_batch and all(type(index) is int for index in batch)
        assert [int(partition[index]) for index in batch] == [0, 1, 2, 3] * per_batch
        rows = volume[batch].view(per_batch, 4)
        assert (rows == rows[:, :1]).all()
        assert len(set(rows[:, 0].tolist())) == per_batch
        uses.update(rows[:, 0].tolist())
    counts = [uses[v] for v in range(11)]
    assert max(counts) - min(counts) <= 1
    if batches is None:
        assert min(counts) == 1


def test_every_slice_of_a_partition_is_drawn_equally_often():
    volume, partition = slices([8, 12, 9])
    sampler = PartitionBatchSampler(volume, partition, 3, batches_per_epoch=3000)
    drawn = np.bincount(np.concatenate(list(sampler)), minlength=len(volume))
    for v in range(3):
        for p in range(4):
            group = drawn[((volume == v) & (partition == p)).numpy()]
            assert group.sum() == 3000
            assert abs(group - 3000 / len(group)).max() < 5 * np.sqrt(3000 / len(group))


def test_batches_are_a_function_of_seed_and_epoch():
    volume, partition = slices([8] * 10)

    def epoch(seed, number):
        sampler = PartitionBatchSampler(volume, partition, 3, seed=seed)
        sampler.set_epoch(number)
        return list(sampler)

    sampler = PartitionBatchSampler(volume, partition, 3, seed=5)
    list(sampler)
    sampler.set_epoch(4)
    torch.manual_seed(1)
    np.random.seed(1)
    assert list(sampler) == list(sampler) == epoch(5, 4)
    assert epoch(5, 4) != epoch(5, 3) and epoch(5, 4) != epoch(4, 5) and epoch(0, 1) != epoch(1, 0)


def test_volumes_meet_all_others():
    volume, partition = slices([4] * 6)
    sampler = PartitionBatchSampler(volume, partition, 4, batches_per_epoch=200)
    meetings = Counter(
        pair for batch in sampler for pair in {(a, b) for a in volume[batch].tolist() for b in volume[batch].tolist()}
    )
    apart = [meetings[a, b] for a in range(6) for b in range(6) if a != b]
    assert min(apart) > 0.5 * max(apart) > 0


@pytest.mark.parametrize("world", [2, 3])
def test_processes_never_share_a_volume_in_a_step(world, monkeypatch):
    volume, partition = slices([6] * 13)
    for number in range(5):
        epochs = []
        for rank in range(world):
            as_ranks(monkeypatch, rank, world)
            sampler = PartitionBatchSampler(volume, partition, 3, seed=2)
            sampler.set_epoch(number)
            epochs.append(list(sampler))
            assert len(sampler) == -(-13 // (3 * world)) == len(epochs[-1])
        uses = Counter()
        for step in zip(*epochs, strict=True):
            volumes = [v for batch in step for v in sorted(set(volume[batch].tolist()))]
            assert len(volumes) == len(set(volumes)) == 3 * world
            uses.update(volumes)
        assert max(uses.values()) - min(uses[v] for v in range(13)) <= 1


def test_slices_without_partition_are_never_drawn():
    volume, partition = slices([7, 11, 8, 9], rule="released")
    border = set(torch.nonzero(partition < 0)[:, 0].tolist())
    assert len(border) == 3 + 3 + 0 + 1
    sampler = PartitionBatchSampler(volume, partition, 2, batches_per_epoch=300)
    drawn = {index for batch in sampler for index in batch}
    assert drawn == set(range(35)) - border


def test_a_volume_without_some_partition_is_left_out_with_one_warning():
    volume, partition = slices([8, 3, 8, 8])
    with pytest.warns(UserWarning, match=r"1 volume\(s\) have no slice .*not drawn: 1") as record:
        sampler = PartitionBatchSampler(volume * 10, partition, 3, patient=["a", "b", "c", "c"])
    assert len(record) == 1
    assert sampler.volumes == [0, 20, 30] and sampler.left_out == [10]
    assert 1 not in (volume[list(sampler)[0]]).tolist()
    assert "3 patients, 1 of them with several volumes" in sampler.report()
    assert "not drawn: 10" in sampler.report()


def test_too_few_volumes_say_what_is_needed(monkeypatch):
    with pytest.raises(ValueError, match=r"found 2 volume\(s\).*needs 3 .*lower volumes_per_batch or add volumes"):
        PartitionBatchSampler(*slices([8, 8]), 3)
    volume, partition = slices([8] * 5)
    sampler = PartitionBatchSampler(volume, partition, 3)
    as_ranks(monkeypatch, 0, 2)
    with pytest.raises(ValueError, match=r"in each of 2 process\(es\), 6 in all"):
        next(iter(sampler))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_volumes_that_are_too_short_for_the_partitions_are_refused(length):
    """Partitions counted in the data would be 1, 3 and 3 here, of which the loss of the first is 0."""
    with pytest.raises(ValueError, match=r"found 0 volume\(s\).* of 4 part.*4 are too short.*image_size or pixdim"):
        PartitionBatchSampler(*slices([length] * 4), 2)


def test_wrong_arguments_are_named():
    volume, partition = slices([8] * 3)
    with pytest.raises(ValueError, match="volume and partition"):
        PartitionBatchSampler(volume, partition[:-1], 2)
    with pytest.raises(ValueError, match="volumes_per_batch"):
        PartitionBatchSampler(volume, partition, 0)
    with pytest.raises(ValueError, match="batches_per_epoch"):
        PartitionBatchSampler(volume, partition, 2, batches_per_epoch=0)
    with pytest.raises(ValueError, match="partition must be below partitions, 3, found 3"):
        PartitionBatchSampler(volume, partition, 2, partitions=3)
    with pytest.raises(ValueError, match="seed"):
        PartitionBatchSampler(volume, partition, 2, seed=-1)
    with pytest.raises(ValueError, match="patient must name each of the 3"):
        PartitionBatchSampler(volume, partition, 2, patient=["a"])


def test_lists_and_arrays_serve_as_well_and_numbers_are_free():
    sampler = PartitionBatchSampler([7, 7, 3, 3, 9, 9], np.array([1, 0, 0, 1, 0, 1]), 3, partitions=2)
    assert sorted(list(sampler)[0]) == [0, 1, 2, 3, 4, 5]
    assert [index % 2 for index in list(sampler)[0] if index < 2] == [1, 0]


# the partition rules


def test_even_partitions_hold_every_slice_and_differ_by_one_at_most():
    for n in range(1, 40):
        for s in range(1, 8):
            partition = slice_partitions(n, s)
            assert partition.dtype == torch.int64
            assert partition.tolist() == [i * s // n for i in range(n)]
            counts = torch.bincount(partition, minlength=s)
            assert counts.max() - counts.min() <= 1


def test_released_partitions_leave_the_last_slices_out():
    for n in range(1, 40):
        for s in range(1, 8):
            expected = [-1] * n
            for k in range(s):
                for i in range(k * (n // s), (k + 1) * (n // s)):
                    expected[i] = k
            assert slice_partitions(n, s, "released").tolist() == expected
    with pytest.raises(ValueError, match="'even', 'released'"):
        slice_partitions(8, 4, "odd")


def test_partitions_of_a_table_are_whole_numbers():
    volume, partition = np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)
    assert list(PartitionBatchSampler(volume, partition * 1.0, 2)) == list(PartitionBatchSampler(volume, partition, 2))
    for wrong, told in ((np.nan, "nan"), (1.5, "1.5")):
        with pytest.raises(ValueError, match=f"partition must be integers, found float64 with {told}: give -1"):
            PartitionBatchSampler(volume, [wrong, *partition[1:]], 2)
    with pytest.raises(ValueError, match="partition must be integers, found <U1: give -1"):
        PartitionBatchSampler(volume, list("abcd" * 3), 2)
