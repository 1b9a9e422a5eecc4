# SPDX-License-Identifier: Apache-2.0
"""SNIC superpixels against the rule written out."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_cl_ext.transforms import Superpixel
from monai_cl_ext.transforms.superpixels.lab import lab_features
from monai_cl_ext.transforms.superpixels.slic import grid_cells


def snic(image: np.ndarray, n_segments: int, compactness: float) -> np.ndarray:
    return Superpixel(n_segments, compactness, "snic")(image)[0].numpy()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_the_rule(image: np.ndarray, n_segments: int, compactness: float) -> np.ndarray:
    """Looks through all candidates for the nearest one, and takes the mean of a segment anew from its pixels."""
    features = lab_features(torch.from_numpy(image)[None])[0].double().numpy()
    size = image.shape[1:]
    cells = grid_cells(size, n_segments)
    step = max(extent / count for extent, count in zip(size, cells, strict=True))
    labels = np.full(size, -1)
    grid = itertools.product(*map(range, cells))
    seeds = [tuple(math.floor((i + 0.5) * s / c) for i, s, c in zip(cell, size, cells, strict=True)) for cell in grid]
    candidates = [(0.0, seed, number) for number, seed in enumerate(seeds)]
    while candidates:
        first = min(candidates)
        candidates.remove(first)
        _, pixel, segment = first
        if labels[pixel] >= 0:
            continue
        labels[pixel] = segment
        color = features[:, labels == segment].mean(1)
        place = np.argwhere(labels == segment).mean(0)
        for axis, move in itertools.product(range(len(size)), (-1, 1)):
            near = tuple(value + move * (axis == number) for number, value in enumerate(pixel))
            if all(0 <= value < extent for value, extent in zip(near, size, strict=True)) and labels[near] < 0:
                apart = ((features[(slice(None), *near)] - color) ** 2).sum()
                distance = apart + (compactness / step) ** 2 * ((np.array(near) - place) ** 2).sum()
                candidates.append((float(distance), near, segment))
    return labels


@pytest.mark.parametrize("compactness", [1.0, 10.0, 60.0])
@pytest.mark.parametrize(
    ("shape", "n_segments"), [((1, 17, 13), 6), ((3, 14, 16), 9), ((2, 11, 12), 5), ((1, 8, 7, 6), 8)]
)
def test_the_map_is_that_of_the_rule(shape, n_segments, compactness):
    for seed in range(3):
        image = noise(*shape, seed=seed)
        smooth = ndimage.gaussian_filter(image, (0, *[1.0] * (len(shape) - 1)))
        for each in (image, smooth):
            assert np.array_equal(snic(each, n_segments, compactness), by_the_rule(each, n_segments, compactness))


def test_distances_are_those_to_the_mean_when_a_pixel_was_met():
    """Seeds at 1 and 5 take 0, 2, 4 and 6. Pixel 3 lies 2 from the mean of 0, 1 and 2, and 1.5 from that of 4 and 5."""
    assert snic(np.zeros((1, 1, 7)), 2, 3.5).tolist() == [[0, 0, 0, 1, 1, 1, 1]]


def test_in_a_tie_the_lower_number_wins():
    """Seeds at 1 and 3 are as near to pixel 2."""
    assert snic(np.zeros((1, 1, 5)), 2, 2.5).tolist() == [[0, 0, 0, 1, 1]]


@pytest.mark.parametrize("shape", [(1, 61, 47), (3, 40, 40), (1, 19, 22, 17)])
@pytest.mark.parametrize("compactness", [0.01, 10.0])
def test_segments_are_connected_and_one_for_each_cell(shape, compactness):
    found = snic(noise(*shape), 40, compactness)
    assert np.array_equal(np.unique(found), np.arange(math.prod(grid_cells(shape[1:], 40))))
    assert all(ndimage.label(found == number)[1] == 1 for number in range(found.max() + 1))


@pytest.mark.parametrize(("size", "n_segments"), [((64, 64), 16), ((50, 70), 35), ((15, 15, 15), 27)])
def test_a_constant_image_becomes_nearly_the_grid(size, n_segments):
    found = snic(np.full((1, *size), 7.0), n_segments, 10.0)
    cells = grid_cells(size, n_segments)
    cell = [place * count // extent for place, count, extent in zip(np.indices(size), cells, size, strict=True)]
    assert (found == np.ravel_multi_index(cell, cells)).mean() > 0.9


def test_more_segments_than_pixels_give_each_pixel_its_own():
    assert np.array_equal(snic(noise(1, 6, 5), 1000, 10.0), np.arange(30).reshape(6, 5))


def test_one_segment_takes_all():
    assert not snic(noise(1, 6, 5), 1, 10.0).any()
