# SPDX-License-Identifier: Apache-2.0
"""The largest component of each class: MONAI's result, ties, and what else a batch may hold."""

import numpy as np
import pytest
import torch
from host_to_device import HostToDevice
from monai.data import MetaTensor
from monai.transforms import KeepLargestConnectedComponent
from scipy import ndimage

from monai_cl_ext.transforms import keep_largest_components

GENERATOR = torch.Generator().manual_seed(0)


def components(labels, number):
    """Voxels (flat indices) of each component of a class, in order of their first voxels."""
    found, count = ndimage.label(labels.numpy() == number)
    return sorted((np.flatnonzero(found == each) for each in range(1, count + 1)), key=lambda voxels: voxels[0])


def has_ties(labels, classes):
    for number in range(1, classes):
        sizes = sorted(map(len, components(labels, number)))
        if sizes[-1:] == sizes[-2:-1]:
            return True
    return False


def first_largest(labels, classes):
    kept = torch.zeros_like(labels)
    for number in range(1, classes):
        found = components(labels, number)
        if found:
            kept.view(-1)[max(found, key=len)] = number  # the first of the largest
    return kept


def random_maps(count, size, classes):
    """Smoothed noise: components of all sizes."""
    noise = torch.rand(count, classes, *size, generator=GENERATOR).numpy()
    smooth = ndimage.gaussian_filter(noise, (0, 0, *[0.8] * len(size)))
    return torch.from_numpy(smooth.argmax(1))[:, None]


@pytest.mark.parametrize("size, classes", [((16, 13), 2), ((9, 20), 4), ((7, 6, 8), 3), ((1, 30), 3)])
def test_it_keeps_what_monai_keeps(size, classes):
    labels = random_maps(40, size, classes)
    monai = KeepLargestConnectedComponent(list(range(1, classes)), connectivity=1, independent=True)
    found, compared, changed = keep_largest_components(labels, classes), 0, 0
    for row, kept in zip(labels, found, strict=True):
        assert torch.equal(kept[0], first_largest(row[0], classes))
        if not has_ties(row[0], classes):  # MONAI's choice among equals is free
            assert torch.equal(kept, torch.as_tensor(monai(row.clone())))
            compared, changed = compared + 1, changed + (not torch.equal(kept, row))
    assert compared > 10 and changed > 10


def test_noise_is_full_of_ties():
    labels = torch.randint(3, (40, 1, 6, 6), generator=GENERATOR)
    assert sum(has_ties(row[0], 3) for row in labels) > 10
    expected = torch.stack([first_largest(row[0], 3)[None] for row in labels])
    assert torch.equal(keep_largest_components(labels, 3), expected)


def test_of_equal_components_the_first_stays_and_corners_do_not_connect():
    labels = torch.tensor([[0, 1, 0, 2], [1, 0, 1, 0], [0, 2, 2, 0]])[None, None]
    expected = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0]])[None, None]
    assert torch.equal(keep_largest_components(labels, 3), expected)


def test_maps_of_a_batch_do_not_know_each_other():
    """Voxels at the end of a map and at the beginning of the next lie side by side in memory."""
    labels = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    labels[0, 0, 2, 2] = labels[1, 0, 0, 0] = labels[1, 0, 2, 1:] = 1
    expected = labels.clone()
    expected[1, 0, 0, 0] = 0
    assert torch.equal(keep_largest_components(labels, 2), expected)


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 1, 1), (4, 4)])
def test_maps_of_one_class_stay(number, size):
    labels = torch.full((2, 1, *size), number)
    assert torch.equal(keep_largest_components(labels, 3), labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_the_dtype_stays_and_the_input_too(dtype):
    labels = random_maps(3, (12, 12), 3).to(dtype)
    before = labels.clone()
    found = keep_largest_components(labels, 3)
    assert found.dtype == dtype and torch.equal(labels, before) and not torch.equal(found, labels)


def test_metatensors_give_the_plain_result():
    labels = random_maps(3, (12, 12), 3)
    found = keep_largest_components(MetaTensor(labels), 3)
    assert type(found) is torch.Tensor and torch.equal(found, keep_largest_components(labels, 3))


@pytest.mark.parametrize("size", [(6, 5), (3, 4, 5)])
def test_no_gpu_would_wait_for_it(size):
    with HostToDevice() as sent:
        found = keep_largest_components(torch.zeros(2, 1, *size, dtype=torch.int64, device="meta"), 3)
    assert found.shape == (2, 1, *size) and found.device.type == "meta" and not sent.seen


def test_bad_arguments_are_named():
    labels = torch.tensor([0, 3])[None, None]
    with pytest.raises(ValueError, match="classes from 0 to 2, found 3 at"):
        keep_largest_components(labels, 3)
    with pytest.raises(ValueError, match="classes from 0 to 3, found -1 at"):
        keep_largest_components(torch.where(labels == 0, -1, labels), 4)
    with pytest.raises(ValueError, match=r"labels must be \(B, 1, \*S\), found \(2, 2, 4, 4\)"):
        keep_largest_components(torch.zeros(2, 2, 4, 4, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 1, found 0"):
        keep_largest_components(labels, 0)
