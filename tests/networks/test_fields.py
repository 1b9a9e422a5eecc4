# SPDX-License-Identifier: Apache-2.0
"""Displacement fields: warping as MONAI's Warp of the negative field, and where they fold."""

import itertools

import pytest
import torch
from monai.networks.blocks import Warp

from monai_cl_ext.networks.fields import folded, warped

SIZES = pytest.mark.parametrize("size", [(7, 5), (4, 6, 5)])


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@SIZES
def test_warping_is_monais_of_the_negative_field(size):
    maps, field = random(2, 3, *size), 2 * random(2, len(size), *size, seed=1)
    expected = Warp("bilinear", "border")(maps, -field)
    torch.testing.assert_close(warped(maps, field), expected, rtol=0, atol=1e-12)


@SIZES
def test_no_displacement_changes_nothing_and_one_pixel_moves_by_one(size):
    maps, field = random(1, 2, *size), torch.zeros(1, len(size), *size, dtype=torch.float64)
    torch.testing.assert_close(warped(maps, field), maps, rtol=0, atol=1e-12)
    for axis in range(len(size)):
        moved = field.clone()
        moved[:, axis] = 1
        found = warped(maps, moved)
        inner = maps.narrow(2 + axis, 0, size[axis] - 1)
        torch.testing.assert_close(found.narrow(2 + axis, 1, size[axis] - 1), inner, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.select(2 + axis, 0), maps.select(2 + axis, 0))  # the border's value


def test_the_field_and_the_maps_get_the_gradient():
    maps, field = random(1, 1, 4, 5).requires_grad_(), (0.3 + 0.1 * random(1, 2, 4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(warped, (maps, field))


@SIZES
def test_folded_pixels_are_those_of_a_determinant_of_at_most_0(size):
    axes, field = len(size), 0.4 * random(2, len(size), *size, seed=3)
    found = []
    for row in range(2):
        for place in itertools.product(*(range(side - 1) for side in size)):
            jacobian = torch.eye(axes, dtype=torch.float64)
            for column in range(axes):
                ahead = tuple(at + (axis == column) for axis, at in enumerate(place))
                jacobian[:, column] -= field[(row, slice(None), *ahead)] - field[(row, slice(None), *place)]
            found.append(torch.linalg.det(jacobian).item() <= 0)
    assert 0.02 < sum(found) / len(found) < 0.5
    assert folded(field).item() == pytest.approx(sum(found) / len(found), rel=1e-12)


def test_a_smooth_field_folds_nowhere_and_a_mirror_everywhere():
    places = torch.arange(8.0).expand(1, 1, 8, 8)
    field = torch.cat([0 * places, places], dim=1)
    assert folded(0.5 * field).item() == 0 and folded(2 * field).item() == 1  # p - 2 p is a mirror
