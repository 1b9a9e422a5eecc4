# SPDX-License-Identifier: Apache-2.0
"""Cut-outs, the choice of one operation, and the distortion that DiRA restores from."""

import pytest
import torch
from operation_cases import generator, noise

from monai_cl_ext.transforms import (
    AdditiveNoise,
    BoxCutout,
    BoxErasing,
    IntensityShift,
    Mirror,
    OneOperation,
    PatchSwapping,
    PrepareViews,
    ViewPolicy,
    distorted_policy,
    intensity_part,
    spatial_part,
    strong_policy,
)

SIZES = {2: (24, 30), 3: (24, 30, 20)}
each_dims = pytest.mark.parametrize("dims", [2, 3])


def cut_by_hand(operation: BoxCutout, image: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
    """The same cut-out, by loops over samples and boxes."""
    dims, boxes = operation.spatial_dims, operation.boxes
    result = image.clone()
    for row in range(len(image)):
        sides = params[row, 1 : 1 + boxes * dims].reshape(boxes, dims)
        locations = params[row, 1 + boxes * dims :].reshape(boxes, dims)
        inside = torch.zeros(image.shape[2:], dtype=torch.bool)
        for box in range(boxes):
            places = []
            for axis, length in enumerate(image.shape[2:]):
                side = round(sides[box, axis].item() * length)
                corner = min(int(locations[box, axis].item() * (length - side + 1)), length - side)
                places.append(slice(corner, corner + side))
            inside[tuple(places)] = True
        if params[row, 0] > 0:
            result[row, :, ~inside if operation.outside else inside] = 0
    return result


@each_dims
@pytest.mark.parametrize("outside", [False, True])
def test_what_lies_in_the_boxes_or_outside_of_them_is_0(outside, dims):
    operation = BoxCutout(outside, (0.2, 0.6), boxes=3, stop=0.4, spatial_dims=dims, probability=0.7)
    image, params = noise(20, 2, *SIZES[dims]) + 1, operation.make_params(20, generator())
    found = operation.apply(image, params)
    assert torch.equal(found, cut_by_hand(operation, image, params))
    alone = (params == operation.identity).all(dim=1)
    assert 0 < alone.sum() < 20 and torch.equal(alone, (found == image).flatten(1).all(dim=1))
    for row in range(20):
        assert torch.equal(operation.apply(image[row : row + 1], params[row : row + 1])[0], found[row])


def test_sides_and_numbers_of_boxes_are_those_asked_for():
    operation = BoxCutout()
    params = operation.make_params(4000, generator())
    sides = params[:, 1:21].reshape(4000, 10, 2)
    there = sides[..., 0] > 0
    assert torch.equal(there, sides[..., 1] > 0) and there[:, 0].all()
    assert (there.int().diff(dim=1) <= 0).all()  # no box behind a missing one
    pixels = sides[there] * 224
    assert (
        10 <= pixels.min() < 10.2 and 69.8 < pixels.max() <= 70 and pixels.mean().item() == pytest.approx(40, abs=0.5)
    )
    expected = [0.9**box for box in range(10)]
    assert there.double().mean(dim=0).tolist() == pytest.approx(expected, abs=0.03)
    assert not torch.equal(params, operation.make_params(4000, generator(1)))
    assert torch.equal(params, operation.make_params(4000, generator()))


def test_one_operation_at_most_is_chosen_for_each_sample_at_its_rate():
    operation = OneOperation([IntensityShift(1.0, 1.0), BoxErasing(1.0), IntensityShift(5.0, 5.0)], [0.3, 0.05, 0.3])
    image = torch.full((4000, 1, 4, 4), 2.0)
    found = operation.apply(image, operation.make_params(4000, generator()))[:, 0, 0, 0]
    rates = [(found == value).double().mean().item() for value in (3.0, 0.0, 7.0, 2.0)]
    assert sum(rates) == pytest.approx(1) and rates == pytest.approx([0.3, 0.05, 0.3, 0.35], abs=0.025)


@each_dims
def test_what_was_chosen_is_done_as_the_operation_alone_does_it(dims):
    parts = [BoxCutout(spatial_dims=dims), PatchSwapping(2, 0.2, dims)]
    operation = OneOperation(parts, [0.5, 0.5])
    image, params = noise(12, 1, *SIZES[dims]), operation.make_params(12, generator())
    found = operation.apply(image, params)
    chosen = [(part != each.identity).any(dim=1) for each, part in
              zip(parts, params.split([each.columns for each in parts], dim=1), strict=True)]  # fmt: skip
    assert torch.equal(chosen[0], ~chosen[1]) and 0 < chosen[0].sum() < 12
    for each, part, rows in zip(parts, params.split([each.columns for each in parts], dim=1), chosen, strict=True):
        assert torch.equal(found[rows], each.apply(image, part)[rows])


@each_dims
def test_the_distortion_comes_last_and_cuts_or_swaps(dims):
    policy = distorted_policy(strong_policy(24, dims, color=False, limits=None), swaps=3, patch=0.2)
    *before, last = policy.operations
    assert [type(each) for each in before] == [
        type(each) for each in strong_policy(color=False).operations[: len(before)]
    ]
    assert isinstance(last, OneOperation) and last.probabilities == [0.3, 0.05, 0.3]
    image = noise(200, 1, *[24] * dims) + 1
    found = last.apply(image, last.make_params(200, generator()))
    zeros = (found == 0).flatten(1).double().mean(dim=1)
    swapped = (found != image).flatten(1).any(dim=1) & (zeros == 0)
    same_values = torch.equal(found[swapped].flatten(1).sort().values, image[swapped].flatten(1).sort().values)
    assert same_values and swapped.double().mean().item() == pytest.approx(0.3, abs=0.1)
    assert (zeros > 0).double().mean().item() == pytest.approx(0.35, abs=0.1)


def test_a_distorted_view_has_the_flip_of_the_view_that_it_is_restored_to():
    """The release takes the image before the flip as the target, so half of its targets are mirrored."""
    policy = strong_policy(color=False, limits=None)
    views, *_ = PrepareViews(
        [spatial_part(policy), distorted_policy(intensity_part(policy)), distorted_policy(policy)],
        made_from=[None, 0, None],
    )({"image": torch.linspace(1, 2, 32).expand(40, 1, 32, 32).contiguous()})
    clean, distorted, other = (view["image"] for view in views)
    assert 0 < (clean[..., 0] > clean[..., -1]).all(dim=-1).sum() < 40  # some are mirrored
    assert (spatial_part(policy).operations[-1]).__class__ is Mirror
    slope = [(view[:, 0] * (torch.arange(32) - 15.5)).sum(dim=(1, 2)) for view in (clean, distorted, other)]
    agree = [((slope[0] > 0) == (each > 0)).double().mean().item() for each in slope[1:]]
    assert agree[0] > 0.9 > 0.75 > agree[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: BoxCutout(fractions=(0.0, 0.5)),
        lambda: BoxCutout(fractions=(0.5, 1.1)),
        lambda: BoxCutout(fractions=(0.5, 0.4)),
        lambda: BoxCutout(boxes=0),
        lambda: BoxCutout(stop=1.5),
        lambda: BoxCutout(spatial_dims=4),
        lambda: OneOperation([], []),
        lambda: OneOperation([BoxErasing()], [0.5, 0.5]),
        lambda: OneOperation([BoxErasing(), BoxErasing()], [0.7, 0.5]),
        lambda: OneOperation([BoxErasing()], [-0.1]),
    ],
)
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ValueError, match="found"):
        make()


@pytest.mark.parametrize("operation", [Mirror(), AdditiveNoise(0.1, 0.2)])
def test_operations_that_cannot_be_chosen_are_refused(operation):
    with pytest.raises(TypeError, match="takes intensity operations with parameters, found"):
        OneOperation([operation], [0.5])


def test_images_of_other_axes_are_refused():
    operation = BoxCutout()
    with pytest.raises(ValueError, match=r"has spatial_dims=2, found an image batch of shape \(1, 1, 8, 8, 8\)"):
        operation.apply(torch.zeros(1, 1, 8, 8, 8), operation.make_params(1, generator()))


@pytest.mark.gpu
@each_dims
def test_cuda_makes_the_views_of_the_cpu_without_waiting(dims):
    policy = distorted_policy(ViewPolicy([], spatial_dims=dims), swaps=3, patch=0.2)
    image, params = noise(12, 2, *SIZES[dims]), policy.make_params(12, generator())
    there = {"image": image.cuda()}
    policy.apply(there, params)
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = policy.apply(there, params)["image"]
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert torch.equal(found.cpu(), policy.apply({"image": image}, params)["image"])
