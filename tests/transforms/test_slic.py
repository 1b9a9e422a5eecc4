# SPDX-License-Identifier: Apache-2.0
"""The batched SLIC, its colors and its connected segments."""

import math

import numpy as np
import pytest
import torch
from operation_cases import noise
from scipy import ndimage
from skimage.color import rgb2lab
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cl_ext.transforms import batched_slic
from monai_cl_ext.transforms.superpixels import connectivity, slic
from monai_cl_ext.transforms.superpixels.connectivity import connected_components, enforce_connectivity
from monai_cl_ext.transforms.superpixels.lab import lab_features
from monai_cl_ext.transforms.superpixels.slic import grid_cells

SIZES = {2: (45, 38), 3: (20, 18, 13)}
both_dimensions = pytest.mark.parametrize("dims", [2, 3])


def blobs(batch: int, *size: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(size=(batch, channels, *size))
    return torch.from_numpy(ndimage.gaussian_filter(values, (0, 0, *[2.0] * len(size)))).float()


def components(labels: np.ndarray) -> int:
    return sum(ndimage.label(labels == label)[1] for label in np.unique(labels))


def same_partition(first: torch.Tensor, second: torch.Tensor) -> bool:
    pairs = {(a, b) for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)}
    return len(pairs) == len(first.unique()) == len(second.unique())


def scipy_components(labels: torch.Tensor) -> torch.Tensor:
    found, count = np.zeros(tuple(labels.shape), dtype=np.int64), 0
    for row, one in zip(found, labels.numpy(), strict=True):
        for label in np.unique(one):
            parts, number = ndimage.label(one == label)
            row[parts > 0] = parts[parts > 0] + count
            count += number
    return torch.from_numpy(found)


def spiral(side: int) -> torch.Tensor:
    """A path one pixel wide, wound up in a map, whose ends are far apart."""
    path = np.zeros((side, side), dtype=np.int64)
    row, column, step = 0, -1, (0, 1)
    length, turns = side, 0
    while length > 0:
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            path[row, column] = 1
        step = (step[1], -step[0])
        turns += 1
        length = side - 1 if turns in (1, 2) else length - 2 * (turns % 2 == 1)
    return torch.from_numpy(path)[None]


def test_rgb_is_scikit_image_s_lab():
    picture = torch.rand(2, 3, 9, 7, dtype=torch.float64)
    picture -= picture.amin((1, 2, 3), keepdim=True)
    picture /= picture.amax((1, 2, 3), keepdim=True)
    expected = torch.from_numpy(rgb2lab(picture.movedim(1, -1).numpy())).movedim(-1, 1).float()
    torch.testing.assert_close(lab_features(picture), expected, atol=1 / 1024, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_one_channel_is_the_lightness_of_gray_whatever_the_range(scale):
    gray = torch.rand(2, 1, 9, 7, dtype=torch.float64)
    unit = (gray - gray.amin((2, 3), keepdim=True)) / (
        gray.amax((2, 3), keepdim=True) - gray.amin((2, 3), keepdim=True)
    )
    expected = torch.from_numpy(rgb2lab(unit.expand(-1, 3, -1, -1).movedim(1, -1).numpy())[..., 0]).float()
    found = lab_features(gray * scale - 3)
    torch.testing.assert_close(found[:, 0], expected, atol=1 / 1024, rtol=0)
    assert found.amin() == 0 and found.amax() == 100
    assert torch.equal(found, (found * 1024).round() / 1024)


def test_four_equal_channels_are_as_far_apart_as_one():
    gray = torch.rand(1, 1, 9, 7)
    one, four = lab_features(gray), lab_features(gray.expand(-1, 4, -1, -1))
    torch.testing.assert_close(four.square().sum(1), one.square().sum(1), atol=0.3, rtol=0)


def test_integers_and_constants():
    assert lab_features(torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)).abs().max() < 0.01
    assert lab_features(torch.arange(16, dtype=torch.int16).view(1, 1, 4, 4)).amax() == 100


@pytest.mark.parametrize(
    ("size", "segments", "expected"),
    [
        ((192, 192), 100, (10, 10)),
        ((200, 100), 50, (10, 5)),
        ((192, 192, 4), 100, (10, 10, 1)),
        ((40, 40, 40), 64, (4, 4, 4)),
        ((5, 5), 1000, (5, 5)),
        ((30, 20), 1, (1, 1)),
    ],
)
def test_cells_are_nearly_cubes(size, segments, expected):
    assert grid_cells(size, segments) == expected


@both_dimensions
@pytest.mark.parametrize("values", [2, 3, 50])
def test_components_are_scipy_s(dims, values):
    labels = torch.randint(values, (3, *SIZES[dims]), generator=torch.Generator().manual_seed(values))
    found = connected_components(labels)
    assert same_partition(found, scipy_components(labels))
    assert torch.equal(found.flatten().unique(), torch.from_numpy(np.unique(found, return_index=True)[1]))


@pytest.mark.parametrize("side", [3, 16, 61, 128])
@pytest.mark.parametrize("turned", [False, True])
def test_long_ways_are_followed(side, turned):
    rows = torch.arange(side)
    comb = ((rows[:, None] % 2 == 0) | (rows[None, :] == side - 1)).long()[None]
    snake = ((rows[:, None] % 2 == 0) | (rows[None, :] == (rows[:, None] % 4 == 1) * (side - 1))).long()[None]
    labels = torch.cat([spiral(side), comb, snake, (rows[:, None] + rows[None, :])[None] % 2])
    labels = labels.mT.contiguous() if turned else labels
    assert same_partition(connected_components(labels), scipy_components(labels))


def test_a_small_part_joins_the_nearest_large_one():
    labels = torch.tensor([[[0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 1], [0, 0, 0, 1, 1, 1]]])
    for value, expected in ((30.0, 0), (70.0, 1)):
        features = torch.where(labels == 0, 20.0, torch.where(labels == 1, 80.0, value))[:, None]
        found = enforce_connectivity(labels, features, smallest=2)
        joined = torch.where(labels == 2, expected, labels)
        assert found.dtype == torch.int32 and torch.equal(found, joined.int())
        assert torch.equal(enforce_connectivity(labels, features, smallest=1).unique(), torch.arange(3).int())


def test_two_parts_of_one_label_become_two_segments():
    labels = torch.tensor([[[4, 4, 9, 4, 4], [4, 4, 9, 4, 4]]])
    found = enforce_connectivity(labels, torch.zeros(1, 1, 2, 5), smallest=2)
    assert torch.equal(found, torch.tensor([[[0, 0, 1, 2, 2], [0, 0, 1, 2, 2]]]).int())


def test_small_parts_without_a_large_neighbor_join_each_other():
    labels = torch.arange(16).view(1, 4, 4)
    features = torch.tensor([0.0, 1, 50, 51]).repeat(4, 1).view(1, 1, 4, 4)
    found = enforce_connectivity(labels, features, smallest=4)[0]
    assert found.flatten().bincount().min() >= 4 and components(found.numpy()) == len(found.unique())
    assert not set(found[:, :2].flatten().tolist()) & set(found[:, 2:].flatten().tolist())  # 1 and 50 stay apart
    assert torch.equal(enforce_connectivity(labels * 0, features, 100), torch.zeros(1, 4, 4).int())


@both_dimensions
def test_nothing_small_is_left_where_there_is_noise(dims):
    found = batched_slic(noise(2, 1, *SIZES[dims]), 20, compactness=0.1)
    for one in found:
        sizes = one.flatten().bincount()
        assert sizes.min() >= one.numel() // (4 * math.prod(grid_cells(one.shape, 20)))
        assert components(one.numpy()) == len(sizes)


def oracle(features: np.ndarray, cells: tuple[int, ...], compactness: float, iterations: int) -> np.ndarray:
    """SLIC in float64, pixel by pixel."""
    size = features.shape[1:]
    step = max(extent / count for extent, count in zip(size, cells, strict=True))
    own = {p: tuple(i * c // s for i, c, s in zip(p, cells, size, strict=True)) for p in np.ndindex(size)}
    points = {p: np.array([*(features[(slice(None), *p)] / compactness), *(np.array(p) / step)]) for p in own}
    labels = dict(own)
    for _ in range(iterations):
        centers = {}
        for cell in np.ndindex(cells):
            members = [points[p] for p in own if labels[p] == cell]
            assert members, "the oracle keeps no empty center"
            centers[cell] = np.mean(members, 0)
        for p, cell in own.items():
            near = [c for c in centers if max(abs(a - b) for a, b in zip(c, cell, strict=True)) <= 1]
            labels[p] = min(near, key=lambda c: float(((centers[c] - points[p]) ** 2).sum()))
    return np.array([np.ravel_multi_index(labels[p], cells) for p in np.ndindex(size)]).reshape(size)


@pytest.mark.parametrize(("size", "segments", "channels"), [((21, 17), 6, 1), ((16, 16), 9, 3), ((9, 8, 10), 8, 1)])
@pytest.mark.parametrize("iterations", [1, 4])
def test_clusters_are_those_of_a_plain_loop(size, segments, channels, iterations):
    images = blobs(1, *size, channels=channels, seed=3)
    expected = oracle(lab_features(images)[0].double().numpy(), grid_cells(size, segments), 80.0, iterations)
    assert components(expected) == len(np.unique(expected)) and np.unique(expected, return_counts=True)[1].min() > 20
    found = batched_slic(images, segments, 80.0, iterations)
    assert same_partition(found[0], torch.from_numpy(expected))


@both_dimensions
def test_a_constant_image_gives_the_grid(dims):
    size, count = {2: ((40, 30), 12), 3: ((20, 20, 10), 16)}[dims]
    cells = grid_cells(size, count)
    places = np.indices(size)
    grid = np.ravel_multi_index([p * c // s for p, c, s in zip(places, cells, size, strict=True)], cells)
    found = batched_slic(torch.full((1, 1, *size), 5.0), count)
    assert torch.equal(found[0], torch.from_numpy(grid).int())


@both_dimensions
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_maps_are_valid_and_the_batch_changes_nothing(dims, channels):
    images = blobs(3, *SIZES[dims], channels=channels)
    found = batched_slic(images, 30)
    assert found.shape == (3, *SIZES[dims]) and found.dtype == torch.int32
    for image, one in zip(images, found, strict=True):
        assert torch.equal(batched_slic(image[None], 30)[0], one)
        values = one.flatten().unique()
        assert torch.equal(values, torch.arange(len(values)).int()) and components(one.numpy()) == len(values)
        assert 15 <= len(values) <= 45
    assert torch.equal(batched_slic(images.flip(0), 30).flip(0), found)
    assert not torch.equal(found[0], found[1])


def test_less_compact_segments_follow_an_edge():
    image = torch.zeros(1, 1, 40, 40)
    image[..., 23:] = 1.0
    found = batched_slic(image, 16, compactness=10.0)[0]
    assert not set(found[:, :23].flatten().tolist()) & set(found[:, 23:].flatten().tolist())
    square = batched_slic(image, 16, compactness=1e4)[0]
    assert torch.equal(square, batched_slic(image * 0, 16)[0])


@pytest.mark.parametrize("pixels", [1, 2 * 24 * 24])
def test_images_at_once_change_nothing(pixels, monkeypatch):
    images = blobs(5, 24, 24)
    monkeypatch.setitem(slic.PIXELS, "cpu", 10**9)
    expected = batched_slic(images, 30)
    monkeypatch.setitem(slic.PIXELS, "cpu", pixels)
    assert torch.equal(batched_slic(images, 30), expected)


class Waits(TorchDispatchMode):
    """Fails where a tensor's values are asked for on the host."""

    names = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "item")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket.__name__ not in self.names, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


@both_dimensions
def test_nothing_waits_for_the_device(dims, monkeypatch):
    images = blobs(2, *SIZES[dims])
    expected = batched_slic(images, 30)
    with pytest.raises(AssertionError, match="waits"), Waits():
        batched_slic(images, 30)  # on the host it may look
    monkeypatch.setattr(connectivity, "_on_host", lambda values: False)
    with Waits():
        found = batched_slic(images, 30)
    assert torch.equal(found, expected)


@pytest.mark.gpu
@both_dimensions
def test_a_gpu_gives_the_same_and_never_waits(dims):
    images = blobs(2, *SIZES[dims])
    there = images.cuda()
    batched_slic(there, 30)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = batched_slic(there, 30)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.is_cuda and torch.equal(found, batched_slic(there, 30))
    assert (found.cpu() == batched_slic(images, 30)).float().mean() > 0.99


@pytest.mark.parametrize("wrong", [{"n_segments": 0}, {"compactness": 0.0}, {"iterations": 0}, {"n_segments": 2.5}])
def test_arguments_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        batched_slic(torch.zeros(1, 1, 8, 8), **wrong)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (0, 1, 8, 8), (1, 1, 1, 1, 1, 1)])
def test_shapes_are_checked(shape):
    with pytest.raises(ValueError, match="images must be"):
        batched_slic(torch.zeros(shape))


def test_no_gradient_and_no_change_of_the_images():
    images = blobs(1, 20, 20).requires_grad_()
    before = images.detach().clone()
    assert not batched_slic(images, 9).requires_grad and torch.equal(images, before)
    one = batched_slic(torch.rand(1, 1, 1, 1))
    assert torch.equal(one, torch.zeros(1, 1, 1).int())
