# SPDX-License-Identifier: Apache-2.0
"""Signed distances: exact distances, the inner boundary, masks that are empty or full, and no host."""

from itertools import product

import numpy as np
import pytest
import torch
from host_to_device import HostToDevice
from monai.data import MetaTensor
from scipy import ndimage

from monai_cl_ext.transforms import signed_distance
from monai_cl_ext.transforms.signed_distance import squared_distances

SIZES = pytest.mark.parametrize("size", [(13,), (16, 13), (9, 20), (7, 6, 8), (1, 9), (5, 1, 6)])


def smooth_maps(count, size, classes, seed=0):
    noise = np.random.default_rng(seed).random((count, classes, *size))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, *[1.2] * len(size))).argmax(1))[:, None]


def on_inner_boundary(mask, place):
    """Whether a face of the voxel belongs to no other voxel of the mask."""
    for axis, step in product(range(mask.ndim), (-1, 1)):
        beside = list(place)
        beside[axis] += step
        if not 0 <= beside[axis] < mask.shape[axis] or not mask[tuple(beside)]:
            return True
    return False


def oracle(mask):
    """Outside over its maximum minus inside over its maximum by scipy, 0 on the boundary; some voxels are in it."""
    if not mask.any():
        return np.zeros(mask.shape)
    outside = ndimage.distance_transform_edt(~mask)
    if mask.all():
        inside = ndimage.distance_transform_edt(np.pad(mask, 1))[(slice(1, -1),) * mask.ndim]
    else:
        inside = ndimage.distance_transform_edt(mask)
    result = outside / max(outside.max(), 1) - inside / inside.max()
    for place in np.ndindex(mask.shape):
        if mask[place] and on_inner_boundary(mask, place):
            result[place] = 0
    return result


def assert_oracle(labels, classes):
    found = signed_distance(labels, classes)
    assert found.shape == (len(labels), classes - 1, *labels.shape[2:]) and found.dtype == torch.float32
    for row, number in product(range(len(labels)), range(1, classes)):
        expected = oracle((labels[row, 0] == number).numpy())
        np.testing.assert_allclose(found[row, number - 1].numpy(), expected, rtol=0, atol=2e-7)
    return found


@SIZES
@pytest.mark.parametrize("classes", [2, 4])
def test_every_voxel_is_as_far_as_scipy_says(size, classes):
    found = assert_oracle(smooth_maps(6, size, classes), classes)
    assert found.max() == 1 and -1 <= found.min() < (0 if min(size) > 6 else 0.1)


def test_scattered_voxels_and_classes_that_some_rows_lack():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (4, 1, 9, 9), generator=generator) * (torch.rand(4, 1, 9, 9, generator=generator) < 0.1)
    labels[2] *= labels[2] == 2
    found = assert_oracle(labels, 4)
    assert not found[2, 0].any() and not found[:, 2].any() and found[:, 1].any()


def test_distances_by_hand():
    """A 3 x 3 square: its center is 2 from what is around it, the farthest corner sqrt(8) from the square."""
    labels = torch.zeros(1, 1, 7, 5, dtype=torch.uint8)
    labels[..., 1:4, 1:4] = 1
    found = signed_distance(labels, 2)[0, 0]
    assert found[2, 2] == -1 and found[6, 4] == 1
    assert not found[1, 1:4].any() and not found[3, 1:4].any() and not found[1:4, 1].any()
    torch.testing.assert_close(found[2, 4], torch.tensor(1 / 10**0.5))  # (6, 4) is 3 and 1 away
    torch.testing.assert_close(found[6, 2], torch.tensor(3 / 10**0.5))


@pytest.mark.parametrize("size", [(6, 7), (5, 5, 4), (1, 4), (9,)])
def test_a_full_mask_has_no_outside_and_an_empty_one_nothing(size):
    full = torch.ones(1, 1, *size, dtype=torch.int64)
    found = assert_oracle(full, 3)
    assert (found[:, 0] <= 0).all() and not found[:, 1].any()
    assert (found.min() == -1) == (min(size) > 2)


def test_a_mask_cut_off_by_the_border_has_its_boundary_there_but_is_deep():
    labels = torch.zeros(1, 1, 8, 9, dtype=torch.int64)
    labels[..., :6, :] = 1
    found = assert_oracle(labels, 2)[0, 0]
    assert found[0].eq(0).all() and found[5].eq(0).all() and found[1, 4] == -5 / 6


def test_other_classes_are_outside():
    labels = torch.zeros(1, 1, 9, 9, dtype=torch.int64)
    labels[..., 1:8, 1:8] = 1
    labels[..., 4, 4] = 2
    found = assert_oracle(labels, 3)
    assert found[0, 0, 4, 4] > 0 and found[0, 0, 4, 3] == 0 and found[0, 1, 4, 4] == 0


def test_squared_distances_are_whole_numbers_and_infinite_without_a_voxel():
    masks = torch.zeros(1, 2, 40, 30, dtype=torch.bool)
    masks[0, 0, 39, 29] = masks[0, 0, 0, 3] = True
    found = squared_distances(masks)
    expected = torch.tensor(
        [[min((39 - y) ** 2 + (29 - x) ** 2, y**2 + (3 - x) ** 2) for x in range(30)] for y in range(40)]
    )
    assert torch.equal(found[0, 0], expected.float()) and found[0, 1].isinf().all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32])
def test_any_dtype_metatensors_and_memory_formats_give_one_result(dtype):
    labels = smooth_maps(3, (12, 10), 3)
    expected = signed_distance(labels, 3)
    kept = labels.to(dtype)
    assert torch.equal(signed_distance(kept, 3), expected) and torch.equal(kept.long(), labels)
    assert torch.equal(signed_distance(kept.to(memory_format=torch.channels_last), 3), expected)
    found = signed_distance(MetaTensor(kept), 3)
    assert type(found) is torch.Tensor and torch.equal(found, expected) and not found.requires_grad


@pytest.mark.parametrize("size", [(6, 5), (3, 4, 5)])
def test_no_gpu_would_wait_for_it(size):
    with HostToDevice() as sent:
        found = signed_distance(torch.zeros(2, 1, *size, dtype=torch.int64, device="meta"), 3)
    assert found.shape == (2, 2, *size) and found.device.type == "meta" and not sent.seen


def test_bad_arguments_are_named():
    labels = torch.tensor([0, 3])[None, None]
    with pytest.raises(ValueError, match="classes from 0 to 2, found 3 at"):
        signed_distance(labels, 3)
    with pytest.raises(ValueError, match=r"labels must be \(B, 1, \*S\), found \(2, 2, 4, 4\)"):
        signed_distance(torch.zeros(2, 2, 4, 4, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="num_classes must be 2 at least, .* found 1"):
        signed_distance(torch.zeros(2, 1, 4, 4), 1)
