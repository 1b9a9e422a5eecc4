# SPDX-License-Identifier: Apache-2.0
"""Boxes by area: their distribution beside a loop over the recipe, their places, and what they read."""

import math
import random

import pytest
import torch
from operation_cases import generator, noise
from torch.nn.functional import interpolate

from monai_cl_ext.transforms import AreaCropResize, ViewPolicy

DRAWS = 6000


def sides_and_places(operation: AreaCropResize) -> tuple[torch.Tensor, torch.Tensor]:
    return operation.make_params(DRAWS, generator()).double().split(operation.spatial_dims, dim=1)


def recipe(low: float, high: float) -> list[tuple[float, float]]:
    """Areas and logarithms of ratios as RandomResizedCrop draws them, on an image so large that pixels do not show."""
    chance, drawn = random.Random(0), []
    while len(drawn) < DRAWS:
        area, ratio = chance.uniform(low, high), math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))
        if math.sqrt(area * ratio) <= 1 and math.sqrt(area / ratio) <= 1:
            drawn.append((area, math.log(ratio)))
    return drawn


@pytest.mark.parametrize("area", [(0.4, 1.0), (0.05, 0.4), (0.8, 1.0)])
def test_areas_and_ratios_are_spread_as_torchvision_s(area):
    sides, _ = sides_and_places(AreaCropResize(area))
    found = torch.stack([sides.prod(dim=1), (sides[:, 1] / sides[:, 0]).log()])
    expected = torch.tensor(recipe(*area), dtype=torch.float64).T
    shares = torch.linspace(0, 1, 11, dtype=torch.float64)
    spread = torch.tensor([area[1] - area[0], 2 * math.log(4 / 3)], dtype=torch.float64)
    difference = (found.quantile(shares, dim=1) - expected.quantile(shares, dim=1)).abs()
    assert (difference / spread).max() < 0.03


def test_volumes_and_both_ratios_in_3d():
    sides, _ = sides_and_places(AreaCropResize((0.1, 0.3), (0.8, 1.25), spatial_dims=3))
    volume = sides.prod(dim=1)
    assert volume.min() >= 0.1 - 1e-6 and volume.max() <= 0.3 + 1e-6 and sides.max() <= 1
    assert volume.mean().item() == pytest.approx(0.2, abs=0.003)
    plane = (sides[:, 2] / sides[:, 1]).log()
    depth = (sides[:, 0] / (sides[:, 1] * sides[:, 2]).sqrt()).log()
    for ratio in (plane, depth):
        assert ratio.abs().max() <= math.log(1.25) + 1e-5
        assert ratio.std().item() == pytest.approx(2 * math.log(1.25) / 12**0.5, rel=0.03)
    assert torch.corrcoef(torch.stack([plane, depth]))[0, 1].abs() < 0.05


@pytest.mark.parametrize("dims", [2, 3])
def test_the_box_stays_inside_and_reaches_every_edge(dims):
    operation = AreaCropResize((0.05, 1.0), (0.5, 2.0), dims)
    policy, size = ViewPolicy([operation], spatial_dims=dims), (40, 30, 20)[:dims]
    params = policy.make_params(DRAWS, generator())
    matrix = policy.voxel_matrix(params, size)
    low = (matrix @ torch.tensor([*[-0.5] * dims, 1.0], dtype=torch.float64))[:, :-1] + 0.5
    high = (matrix @ torch.tensor([*[side - 0.5 for side in size], 1.0], dtype=torch.float64))[:, :-1] + 0.5
    length = torch.tensor(size, dtype=torch.float64)
    assert (low >= -1e-4).all() and (high <= length + 1e-4).all()
    room = (length - (high - low)) > 0.5
    place = (low / (length - (high - low)))[room]
    assert place.min() < 0.01 and place.max() > 0.99 and place.mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_view_is_the_box_cut_out_and_interpolated():
    image = noise(1, 2, 24, 16, dtype=torch.float64)
    # 12 of 24 rows from row 6 of the 12 in which they can lie, 12 of 16 columns from the last of 4.
    params = torch.tensor([[0.5, 0.75, 6 / 12, 1.0]])
    found = ViewPolicy([AreaCropResize()]).apply({"image": image}, params)["image"]
    expected = interpolate(image[:, :, 6:18, 4:16], size=(24, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], atol=1e-6, rtol=0)


def test_a_photograph_of_fine_stripes_does_not_alias_in_a_small_crop():
    """Stripes of two pixels, read at less than half of their number: gray, and no coarse pattern."""
    stripes = (torch.arange(400) % 4 < 2).double().expand(8, 1, 400, 400)
    view = ViewPolicy([AreaCropResize((0.5, 0.9))], size=96)({"image": stripes}, generator())["image"]
    assert view.shape == (8, 1, 96, 96)
    assert (view[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.12


def test_what_never_fits_keeps_the_whole_image():
    whole = AreaCropResize((1.0, 1.0)).make_params(50, generator())
    assert (whole[:, :2] == 1).all()


@pytest.mark.parametrize(
    "arguments",
    [{"area": (0.0, 1.0)}, {"area": (0.4, 1.1)}, {"area": (0.5, 0.4)}, {"ratio": (0.0, 1.0)}, {"ratio": (2.0, 1.0)}],
)
def test_arguments_without_meaning_are_refused(arguments):
    with pytest.raises(ValueError, match="found"):
        AreaCropResize(**arguments)


def test_ratios_with_which_no_box_fits_are_refused():
    with pytest.raises(ValueError, match="its smallest box fits"):
        AreaCropResize((0.5, 1.0), ratio=(3.0, 4.0))
    AreaCropResize((0.2, 1.0), ratio=(3.0, 4.0))


@pytest.mark.parametrize("area", [0.4, (0.1, 0.2, 0.3), None])
def test_a_range_is_two_numbers(area):
    with pytest.raises(TypeError, match="AreaCropResize's area must be two numbers, the lower first, found"):
        AreaCropResize(area)
