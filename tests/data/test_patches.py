# SPDX-License-Identifier: Apache-2.0
"""Patches are pieces of their volume, drawn as told, and a patch of one voxel's length is a slice."""

import json
import pickle
import re

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImaged
from torch.utils.data import DataLoader

from monai_cl_ext.data import (
    MixedSlices,
    NeighborBatchSampler,
    PartitionBatchSampler,
    PatchDataset,
    RandomPatches,
    SliceDataset,
    volume_transform,
)
from monai_cl_ext.data.patch_places import with_room

PLAIN = Compose([LoadImaged(["image", "label"], image_only=True, ensure_channel_first=True, allow_missing_keys=True)])
SPACING = (1.5, 2.0, 5.0)


def write(path, voxels):
    nib.save(nib.Nifti1Image(voxels, np.diag([*SPACING, 1.0])), path)
    return str(path)


def numbered(shape):
    """Each voxel has a number that half precision holds exactly and that tells its place."""
    return (np.arange(np.prod(shape)) % 2048).reshape(shape).astype(np.float32)


def volumes(folder, *shapes, label=True):
    data = []
    for number, shape in enumerate(shapes):
        data.append({"image": write(folder / f"p{number}.nii.gz", numbered(shape))})
        if label:
            classes = (numbered(shape) % 3).astype(np.uint8)
            data[-1]["label"] = write(folder / f"p{number}_label.nii.gz", classes)
    return data


def patches(data, size, transform=PLAIN, store=None, superpixels=None, **places):
    return PatchDataset(
        data, RandomPatches(size, **places), transform, store=store, superpixels=superpixels, progress=False
    )


def begin(item, shape, size):
    """Where a patch begins, from its position."""
    return np.rint(item["position"].numpy() * shape - (np.array(size) + 1) / 2).astype(int)


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_a_patch_is_the_piece_of_its_volume_at_its_position(slice_axis, tmp_path):
    shapes, size = [(11, 9, 13), (8, 12, 10)], (4, 3, 5)
    found = patches(volumes(tmp_path, *shapes), size, slice_axis=slice_axis, per_volume=12)
    assert len(found) == 24 and found.volume.tolist() == [0] * 12 + [1] * 12
    starts = set()
    for index in range(len(found)):
        item, shape = found[index], shapes[index // 12]
        start = begin(item, shape, size)
        piece = tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))
        assert torch.equal(item["image"][0], torch.from_numpy(numbered(shape)[piece]))
        assert torch.equal(item["label"][0], torch.from_numpy((numbered(shape) % 3).astype(np.uint8)[piece]))
        assert item["image"].dtype == torch.float32 and item["label"].dtype == torch.uint8
        places = shape[slice_axis] - size[slice_axis] + 1
        assert item["partition"] == found.partition[index] == start[slice_axis] * 4 // places
        assert item["volume"] == index // 12 and item["spacing"].tolist() == pytest.approx(SPACING)
        starts.add((index // 12, *start))
    assert len(starts) > 18


def test_patches_are_a_function_of_seed_epoch_and_row(tmp_path):
    data = volumes(tmp_path, (20, 20, 20))

    def drawn(epoch, order=None, **more):
        found = patches(data, 4, per_volume=16, **more)
        found.set_epoch(epoch)
        order = range(16) if order is None else order
        items = {index: found[index] for index in order}
        return torch.stack([items[index]["position"] for index in range(16)])

    first = drawn(3)
    assert torch.equal(first, drawn(3)) and torch.equal(first, drawn(3, range(15, -1, -1)))
    assert not torch.equal(first, drawn(4)) and not torch.equal(first, drawn(3, seed=1))
    loader = DataLoader(patches(data, 4, per_volume=16), batch_size=4, num_workers=2, multiprocessing_context="fork")
    assert torch.equal(torch.cat([batch["position"] for batch in loader]), drawn(0))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_stay_serve_the_patches_of_the_epoch(workers, tmp_path):
    """The labeled and the unlabeled part alike."""
    data = volumes(tmp_path, (20, 20, 20))
    found = MixedSlices(patches(data, 4, per_volume=8), patches(data, 4, per_volume=8, seed=1))
    settings = {"batch_size": 4, "num_workers": workers, "multiprocessing_context": "fork"}
    loader = DataLoader(found, persistent_workers=True, **settings)
    served = []
    for epoch in (0, 5, 6):
        found.set_epoch(epoch)
        served.append(torch.cat([batch["position"] for batch in loader]))
        assert torch.equal(served[-1], torch.stack([found[index]["position"] for index in range(16)]))
    assert not torch.equal(served[0], served[1]) and not torch.equal(served[1], served[2])


def test_places_are_drawn_evenly(tmp_path):
    found = patches(volumes(tmp_path, (7, 6, 9)), (4, 5, 3), per_volume=4000)
    starts = np.array([begin(found[index], (7, 6, 9), (4, 5, 3)) for index in range(len(found))])
    for axis, places in enumerate((4, 2, 7)):
        counts = np.bincount(starts[:, axis], minlength=places)
        if axis < 2:
            assert counts == pytest.approx([4000 / places] * places, rel=0.1)
        else:  # the cells are drawn in turn, each of one or two places
            cells = np.bincount(np.arange(7) * 4 // 7)
            assert counts == pytest.approx([1000 / cells[place * 4 // 7] for place in range(7)], rel=0.15)


def test_a_patch_of_one_slice_is_that_slice(tmp_path):
    data = volumes(tmp_path, (6, 5, 10))
    slices = SliceDataset(data, PLAIN, progress=False)
    found = patches(data, (6, 5, 1), per_volume=20)
    for index in range(20):
        item = found[index]
        one = slices[round(item["position"][2].item() * 10) - 1]
        assert torch.equal(item["image"][..., 0], one["image"]) and torch.equal(item["label"][..., 0], one["label"])
        assert item["position"][2].item() == one["position"] and item["partition"] == one["partition"]


def test_a_small_volume_lies_in_the_middle_of_zeros(tmp_path):
    shape, size = (3, 9, 4), (6, 4, 4)
    item = patches(volumes(tmp_path, shape), size)[0]
    start = begin(item, shape, size)
    assert item["image"].shape == (1, *size) and start[0] == -1 and start[2] == 0
    image = item["image"][0]
    assert not image[0].any() and not image[4:].any()
    assert torch.equal(image[1:4], torch.from_numpy(numbered(shape)[:, start[1] : start[1] + 4]))
    assert item["position"][0] == pytest.approx((3 + 1) / 2 / 3, abs=0.2) and item["position"].min() > 0


def test_the_position_in_one_slice_is_a_fraction(tmp_path):
    item = patches(volumes(tmp_path, (1, 9, 4)), (4, 4, 4))[0]
    assert item["position"][0] == 1 and item["position"].max() <= 1


def test_cells_without_a_place_are_no_partition(tmp_path):
    found = patches(volumes(tmp_path, (8, 8, 6), (8, 8, 8)), (4, 4, 5), per_volume=8)  # two places for four cells
    assert found.partition.tolist() == [0, -1, 2, -1] * 2 + [0, 1, 2, 3] * 2  # place 1 of two is in cell 1 * 4 // 2
    assert {found[index]["partition"] for index in range(8)} == {0, 2}


@pytest.mark.parametrize("lengths, pixdim", [((38, 55), (1.5, 2.0, 5.0)), ((8, 12), (1.5, 2.0, 5.0))])
def test_where_no_volume_has_room_for_the_partitions_a_size_is_named_that_has(lengths, pixdim, tmp_path):
    data = volumes(tmp_path, *((20, 24, length) for length in lengths))
    with pytest.raises(ValueError, match=rf"none of 2 .* {lengths[0]} to {lengths[1]} voxels, a patch 64") as raised:
        _ = patches(data, 64, volume_transform(pixdim=pixdim, slice_axis=None)).partition
    size, step = map(json.loads, re.findall(r"\[.*?\]", str(raised.value)))
    assert size == [64, 64, 16] and step[:2] == [1.5, 2.0] and (step[2] == 5.0) == (lengths[0] >= 32)
    found = patches(data, size, volume_transform(pixdim=step, slice_axis=None))
    sampler = PartitionBatchSampler(found.volume, found.partition, 2)
    places = torch.stack([found[index]["position"][2] for index in next(iter(sampler))]).view(2, 4)
    assert (places.diff(dim=1) > 0).all()


def test_foreground_is_at_the_center_where_border_and_cell_allow(tmp_path):
    shape, size = (30, 30, 30), (5, 5, 5)
    label = np.zeros(shape, np.uint8)
    label[10, 12, 14], label[20:22, 20:22, 20:22] = 1, 2
    data = [{"image": write(tmp_path / "a.nii.gz", numbered(shape)), "label": write(tmp_path / "b.nii.gz", label)}]
    always = patches(data, size, partitions=1, foreground=1.0, per_volume=400)
    centers = [int(item["label"][0, 2, 2, 2]) for item in (always[index] for index in range(400))]
    assert np.bincount(centers)[0] == 0 and np.bincount(centers) == pytest.approx([0, 200, 200], abs=50)
    some = patches(data, size, partitions=1, foreground=0.3, per_volume=1000)
    share = np.mean([int(some[index]["label"][0, 2, 2, 2]) > 0 for index in range(1000)])
    assert share == pytest.approx(0.3, abs=0.05)
    cells = patches(data, size, partitions=4, foreground=1.0, per_volume=40)
    for index in range(40):
        assert cells[index]["partition"] == index % 4
        assert (index % 4 not in (1, 2)) or cells[index]["label"].any()


@pytest.mark.parametrize("length", [9, 10])
def test_a_patch_has_the_foreground_that_its_cell_reaches(length):
    """Of the voxels at 23 and 46 the cell [26, 39) reaches the second alone, at the far end of its patches."""
    shape, foreground = np.array([51 + length, 20, 20]), np.array([[1, 23, 10, 10], [1, 46, 10, 10]])
    places = RandomPatches(length, per_volume=400, partitions=4, foreground=1.0)
    starts = np.array([places.start(shape, 0, row, row, foreground)[0] for row in range(400)])
    assert np.array_equal(starts // 13, np.arange(400) % 4)
    held = np.stack([(starts <= voxel) & (voxel < starts + length) for voxel in (23, 46)]).reshape(2, 100, 4)
    assert held.all(axis=1).tolist() == [[False, True, False, False], [False, False, True, True]]


def test_foreground_needs_labels(tmp_path):
    with pytest.raises(ValueError, match="foreground need labels"):
        patches(volumes(tmp_path, (8, 8, 8), label=False), 4, foreground=0.3)


def test_a_volume_without_foreground_serves(tmp_path):
    data = volumes(tmp_path, (8, 8, 8))
    write(data[0]["label"], np.zeros((8, 8, 8), np.uint8))
    assert not patches(data, 4, foreground=1.0)[0]["label"].any()


def test_neighbors_lie_half_a_patch_aside(tmp_path):
    shapes, size = [(16, 10, 12), (9, 30, 9)], (8, 8, 8)
    found = patches(volumes(tmp_path, *shapes), size, neighbors=True, per_volume=40)
    for index in range(0, len(found), 2):
        shape = shapes[index // 40]
        first, second = (begin(found[row], shape, size) for row in (index, index + 1))
        axis = int(np.argmax(np.array(shape) / size))
        assert np.abs(first - second).tolist() == [4 if each == axis else 0 for each in range(3)]
    sampler = NeighborBatchSampler(found.neighborhood, found.place, batch_size=8)
    for batch in sampler:
        assert [row // 2 for row in batch[::2]] == [row // 2 for row in batch[1::2]]
        assert all(row % 2 == 0 for row in batch[::2])


def test_neighbors_need_room_and_even_rows(tmp_path):
    with pytest.raises(ValueError, match="drawn without neighbors"):
        _ = patches(volumes(tmp_path, (9, 9, 9)), 8).neighborhood
    with pytest.raises(ValueError, match=r"p0\.nii\.gz: no larger than a patch"):
        patches(volumes(tmp_path, (8, 8, 8)), 8, neighbors=True)
    with pytest.raises(ValueError, match="per_volume must be even"):
        RandomPatches(8, 5, neighbors=True)


def test_the_partition_sampler_draws_one_patch_of_each_cell(tmp_path):
    found = patches(volumes(tmp_path, *[(10, 10, 12 + number) for number in range(5)]), (6, 6, 4))
    sampler = PartitionBatchSampler(found.volume, found.partition, 2)
    for batch in DataLoader(found, batch_sampler=sampler):
        assert batch["partition"].tolist() == [0, 1, 2, 3] * 2 and len(batch["volume"].unique()) == 2
        assert batch["image"].shape == (8, 1, 6, 6, 4) and batch["position"].shape == (8, 3)
        position = batch["position"].reshape(2, 4, 3)[..., 2]
        assert (position.diff(dim=1) > 0).all()


def test_labeled_and_unlabeled_patches_in_one_dataset(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    first = patches(volumes(tmp_path / "a", (9, 9, 9)), 4, per_volume=6)
    second = patches(volumes(tmp_path / "b", (9, 9, 9), (8, 8, 8), label=False), 4, per_volume=6)
    mixed = MixedSlices(first, second)
    assert len(mixed) == 18 and mixed.volume.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert (mixed[7]["label"] == 255).all() and mixed[7]["label"].shape == (1, 4, 4, 4) and mixed[13]["volume"] == 2
    before = mixed[7]["position"]
    mixed.set_epoch(1)
    assert not torch.equal(before, mixed[7]["position"])
    with pytest.raises(ValueError, match="others in each epoch"):
        mixed.give_labels(torch.zeros(12, 1, 4, 4, 4))


def test_supervoxels_are_those_of_the_whole_volume(tmp_path):
    calls = []

    def levels(image):
        calls.append(tuple(image.shape))
        return (image[:1] % 300).long()

    found = patches(volumes(tmp_path, (8, 9, 10)), 4, superpixels=levels)
    for index in range(5):
        assert torch.equal(found[index]["superpixel"], (found[index]["image"] % 300).int())
    assert calls == [(1, 10, 8, 9)]


def test_a_store_serves_the_same_patches(tmp_path):
    data = volumes(tmp_path, (11, 9, 13), (8, 12, 10))
    kept, stored = (patches(data, 4, foreground=0.5, store=store) for store in (None, tmp_path / "store"))
    for index in range(0, len(kept), 7):
        one, other = kept[index], stored[index]
        assert all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)
    assert len(pickle.dumps(stored)) < 3000


def test_changing_a_patch_leaves_the_volume_alone(tmp_path):
    found = patches(volumes(tmp_path, (8, 8, 8)), 8)
    kept = found[0]["label"].clone()
    found[0]["label"].fill_(9)
    assert torch.equal(found[0]["label"], kept)


def test_volumes_of_other_channels_are_named(tmp_path):
    data = volumes(tmp_path, (8, 8, 8), label=False)
    data.append({"image": write(tmp_path / "two.nii.gz", np.random.rand(8, 8, 8, 2).astype(np.float32))})
    with pytest.raises(ValueError, match=r"two\.nii\.gz: has 2 channel\(s\)"):
        patches(data, 4)


@pytest.mark.parametrize("wrong", [{"size": (4, 4)}, {"size": 0}, {"foreground": 2.0}, {"per_volume": 0}, {"seed": -1}])
def test_arguments_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RandomPatches(**{"size": 4, **wrong})


SHORT = [(30, 1.0), (28, 1.2), (20, 1.68), (8, 4.2), (32, 1.0), (47, 0.3), (10, 10.0)]


@pytest.mark.parametrize("length, spacing", SHORT)
def test_a_patch_with_room_is_at_most_half_of_the_volume(length, spacing):
    side, step = with_room(length, spacing)
    assert side % 16 == 0 and 0.2 * length * spacing < side * step <= length * spacing / 2


def test_a_volume_shorter_than_a_voxel_has_a_spacing_too():
    assert with_room(0, 1.0) == with_room(1, 1.0) == (16, 0.031)
