# SPDX-License-Identifier: Apache-2.0
"""Labeled and unlabeled slices in one batch."""

import pickle
from collections import Counter

import pytest
import torch
from monai.data import MetaTensor
from torch.utils.data import DataLoader

from monai_cl_ext import distributed
from monai_cl_ext.data import MixedSlices, SliceDataset, TwoStreamBatchSampler


def slices(volumes: int, label: int | None, size: int = 6, depth: int = 5, **more) -> SliceDataset:
    """Volumes whose voxels tell their number; ``label`` is the class of every pixel, None for unlabeled volumes."""

    def load(case):
        number = case["image"]
        image = torch.linspace(number, number + 0.5, size * size * depth).reshape(1, size, size, depth)
        loaded = {"image": MetaTensor(image)}
        return loaded if label is None else {**loaded, "label": torch.full_like(image, label)}

    data = [
        {"image": n, "patient": f"{label}-{n}"} | ({} if label is None else {"label": "given"}) for n in range(volumes)
    ]
    return SliceDataset(data, load, **more)


@pytest.fixture(scope="module")
def mixed() -> MixedSlices:
    return MixedSlices(slices(2, 3), slices(3, None))


def test_unlabelled_rows_follow_and_carry_the_ignored_label(mixed):
    assert len(mixed) == 25 and list(mixed.labelled_rows) == list(range(10)) and mixed.unlabelled_rows == range(10, 25)
    for index in range(25):
        item = mixed[index]
        assert item["label"].dtype == torch.uint8 and item["label"].shape == (1, 6, 6)
        assert (item["label"] == (3 if index < 10 else 255)).all()
        assert item["volume"] == int(mixed.volume[index]) == index // 5
        assert item["partition"] == int(mixed.partition[index])
    assert mixed.patients == ["3-0", "3-1", "None-0", "None-1", "None-2"]
    assert len(mixed.files) == 5


def test_the_labels_of_the_unlabelled_part_are_not_shown():
    mixed = MixedSlices(slices(1, 3), slices(2, 2))
    assert (mixed[7]["label"] == 255).all()


def test_predicted_labels_take_the_place_of_the_ignored_one():
    mixed = MixedSlices(slices(1, 3), slices(2, None))
    assert mixed.predicted.shape == (0, 1, 6, 6)
    labels = torch.randint(0, 4, (10, 1, 6, 6), generator=torch.Generator().manual_seed(0))
    mixed.give_labels(labels)
    assert all(torch.equal(mixed[5 + row]["label"], labels[row].byte()) for row in range(10))
    assert (mixed[0]["label"] == 3).all() and torch.equal(mixed.predicted, labels.byte())
    mixed[5]["label"].fill_(9)
    assert torch.equal(mixed[5]["label"], labels[0].byte())
    with pytest.raises(ValueError, match=r"labels must have the shape \(10, 1, 6, 6\)"):
        mixed.give_labels(labels[:9])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_stay_do_not_serve_old_labels(workers):
    mixed = MixedSlices(slices(1, 3), slices(2, None))
    settings = {"batch_size": 5, "num_workers": workers, "multiprocessing_context": "fork"}
    staying, fresh = DataLoader(mixed, persistent_workers=True, **settings), DataLoader(mixed, **settings)
    assert all(len(list(loader)) == 3 for loader in (staying, fresh))
    mixed.give_labels(torch.ones(10, 1, 6, 6))
    assert [int(batch["label"][0, 0, 0, 0]) for batch in fresh] == [3, 1, 1]
    with pytest.raises(RuntimeError, match=r"labels of round 0, (.|\n)* round 1 (.|\n)*set persistent_workers=False"):
        list(staying)
    assert (pickle.loads(pickle.dumps(mixed))[7]["label"] == 1).all()


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="prepare both alike"):
        MixedSlices(slices(1, 3), slices(1, None, size=8))
    with pytest.raises(ValueError, match="'superpixel'.*prepare both alike"):
        MixedSlices(slices(1, 3), slices(1, None, superpixels=lambda image: (image > image.mean()).int()))


def test_a_batch_collates_labelled_rows_first(mixed):
    sampler = TwoStreamBatchSampler(mixed.labelled_rows, mixed.unlabelled_rows, 3, 2, batches_per_epoch=4)
    for batch in DataLoader(mixed, batch_sampler=sampler):
        assert (batch["label"][:3] == 3).all() and (batch["label"][3:] == 255).all() and len(batch["image"]) == 5


def drawn(sampler, epochs):
    batches = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    return batches


@pytest.mark.parametrize(("labelled", "unlabelled", "per_batch"), [(4, 7, (2, 3)), (3, 50, (5, 4)), (1, 1, (1, 1))])
def test_every_unlabelled_row_comes_once_a_pass_and_labelled_rows_are_cycled(labelled, unlabelled, per_batch):
    rows = range(labelled), range(100, 100 + unlabelled)
    batches = drawn(TwoStreamBatchSampler(*rows, *per_batch, seed=3, batches_per_epoch=5), 4 * unlabelled)
    for part, own, size in ((0, rows[0], per_batch[0]), (1, rows[1], per_batch[1])):
        stream = [row for batch in batches for row in (batch[: per_batch[0]] if part == 0 else batch[per_batch[0] :])]
        assert len(stream) == size * len(batches)
        whole = len(stream) // len(own) * len(own)
        for begin in range(0, whole, len(own)):
            assert sorted(stream[begin : begin + len(own)]) == list(own)
        assert max(Counter(stream).values()) - min(Counter(stream).values()) <= 1


def test_batches_follow_from_seed_and_epoch_alone():
    def make(seed):
        return TwoStreamBatchSampler(range(6), range(6, 40), 2, 3, seed)

    first, second, other = make(1), make(1), make(2)
    for sampler in (first, second, other):
        sampler.set_epoch(7)
    assert list(first) == list(first) == list(second) != list(other)
    second.set_epoch(8)
    assert list(first) != list(second)


def test_without_a_number_of_batches_an_epoch_is_a_pass():
    sampler = TwoStreamBatchSampler(range(6), range(6, 40), 2, 3)
    assert len(sampler) == 12 == len(list(sampler))


def test_a_row_takes_no_memory():
    """20,000 unlabeled volumes have 16 rows each."""
    assert len(pickle.dumps(TwoStreamBatchSampler(range(1000), range(1000, 321_000), 2, 2))) < 1000


def test_processes_share_a_steps_rows(monkeypatch):
    def make():
        return TwoStreamBatchSampler(range(6), range(6, 40), 2, 3, seed=5, batches_per_epoch=4)

    ranks = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        ranks.append(drawn(make(), 3))
    monkeypatch.undo()
    alone = drawn(TwoStreamBatchSampler(range(6), range(6, 40), 4, 6, seed=5, batches_per_epoch=4), 3)
    for one, other, whole in zip(*ranks, alone, strict=True):
        assert [*one[:2], *other[:2]] == whole[:4] and [*one[2:], *other[2:]] == whole[4:]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([], [1], 1, 1), "labelled must hold at least one row"),
        (([1], [], 1, 1), "unlabelled must hold at least one row"),
        (([1], [2], 0, 1), "labelled_per_batch must be an integer"),
        (([1], [2], 1, 1.5), "unlabelled_per_batch must be an integer"),
    ],
)
def test_wrong_arguments_are_named(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        TwoStreamBatchSampler(*arguments)


def test_rows_are_counted_from_the_end_too(mixed):
    assert torch.equal(mixed[-1]["image"], mixed[len(mixed) - 1]["image"]) and mixed[-1]["label"].min() == 255
    assert torch.equal(mixed[-len(mixed)]["image"], mixed[0]["image"])
    for index in (-len(mixed) - 1, len(mixed)):
        with pytest.raises(IndexError, match=f"row {index} of {len(mixed)}"):
            mixed[index]
