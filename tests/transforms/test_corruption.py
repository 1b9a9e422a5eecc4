# SPDX-License-Identifier: Apache-2.0
"""Erased boxes and swapped patches: what they touch, what they leave, and what they draw."""

import itertools

import pytest
import torch
from monai.transforms import Compose
from operation_cases import generator, noise
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cl_ext.transforms import (
    BoxCutout,
    BoxErasing,
    PatchSwapping,
    PrepareViews,
    RandPolicyd,
    ViewPolicy,
    identity_policy,
)

SIZES = {2: (24, 30), 3: (24, 30, 20)}
OPERATIONS = {
    "box": lambda dims, **given: BoxErasing(0.4, dims, **given),
    "patches": lambda dims, **given: PatchSwapping(3, 0.2, dims, **given),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)
each_dims = pytest.mark.parametrize("dims", [2, 3])


def numbered(rows: int, dims: int) -> torch.Tensor:
    """Images in which every voxel of every row has a number of its own, from 1."""
    count = rows * torch.Size(SIZES[dims]).numel()
    return torch.arange(1, count + 1, dtype=torch.float64).reshape(rows, 1, *SIZES[dims])


@each_dims
@each_operation
def test_samples_left_alone_stay_and_the_others_change(name, dims):
    operation = OPERATIONS[name](dims, probability=0.5)
    image, params = numbered(20, dims), operation.make_params(20, generator())
    alone = (params == operation.identity).all(dim=1)
    unchanged = (operation.apply(image, params) == image).flatten(1).all(dim=1)
    assert 0 < alone.sum() < 20 and torch.equal(alone, unchanged)
    never = OPERATIONS[name](dims, probability=0.0)
    assert torch.equal(never.apply(image, never.make_params(20, generator())), image)


@each_dims
@each_operation
def test_every_sample_has_its_own_parameters_and_sees_no_other(name, dims):
    operation = OPERATIONS[name](dims)
    image, params = noise(6, 2, *SIZES[dims]), operation.make_params(6, generator())
    assert len(params.unique(dim=0)) == 6
    whole = operation.apply(image, params)
    for row in range(6):
        alone = operation.apply(image[row : row + 1], params[row : row + 1])
        assert torch.equal(whole[row : row + 1], alone)
    assert torch.equal(params, operation.make_params(6, generator()))
    assert not torch.equal(params, operation.make_params(6, generator(1)))


@each_dims
@each_operation
def test_labels_stay_and_dtypes_are_kept(name, dims):
    label = torch.randint(5, (2, 1, *SIZES[dims]), dtype=torch.uint8)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        image = noise(2, 3, *SIZES[dims]).to(dtype)
        made = ViewPolicy([OPERATIONS[name](dims)], spatial_dims=dims)({"image": image, "label": label}, generator())
        assert made["label"] is label and made["image"].dtype == dtype and made["image"].shape == image.shape


@each_dims
def test_a_box_is_zero_within_and_untouched_without(dims):
    operation, image = BoxErasing(0.4, dims), numbered(50, dims)
    erased = operation.apply(image, operation.make_params(50, generator())) == 0
    sides = [round(0.4 * length) for length in SIZES[dims]]
    assert (erased.flatten(1).sum(dim=1) == torch.Size(sides).numel()).all()
    for axis, side in enumerate(sides):
        along = erased.movedim(2 + axis, 1).flatten(2).any(dim=2)  # (rows, length)
        assert (along.sum(dim=1) == side).all() and (along.int().diff(dim=1) == 1).sum(dim=1).max() <= 1
        places = along.int().argmax(dim=1).unique()
        assert places.min() == 0 and places.max() == SIZES[dims][axis] - side  # both ends are reached
    kept = operation.apply(image, operation.make_params(50, generator()))
    assert torch.equal(kept[~erased], image[~erased])


def test_the_papers_box():
    image = torch.ones(3, 2, 192, 192)
    erased = BoxErasing().apply(image, BoxErasing().make_params(3, generator())) == 0
    assert torch.equal(erased[:, 0], erased[:, 1])
    assert (erased[:, 0].flatten(1).sum(dim=1) == 100 * 100).all()
    assert (BoxErasing(1.0).apply(image, BoxErasing(1.0).make_params(3, generator())) == 0).all()


class Largest(TorchDispatchMode):
    """Notes the largest tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@each_dims
@pytest.mark.parametrize("outside", [False, True])
def test_many_boxes_take_the_memory_of_one(outside, dims):
    operation, image = BoxCutout(outside, (0.2, 0.4), boxes=6, stop=0.3, spatial_dims=dims), numbered(5, dims)
    params = operation.make_params(5, generator())
    with Largest() as largest:
        found = operation.apply(image, params)
    assert largest.elements <= image.numel()
    sides, places = params[:, 1:].reshape(5, 2, 6, dims).unbind(1)
    inside = torch.zeros(image.shape, dtype=torch.bool)
    for row, box in itertools.product(range(5), range(6)):
        at = []
        for side, place, length in zip(sides[row, box], places[row, box], SIZES[dims], strict=True):
            voxels = round(float(side * length))
            corner = min(int(place * (length - voxels + 1)), length - voxels)
            at.append(slice(corner, corner + voxels))
        inside[(row, 0, *at)] = True
    assert torch.equal(found, image.masked_fill(~inside if outside else inside, 0))


def swapped_by_hand(operation, image, params):
    """The same image and its patches, by loops over samples, patches and voxels."""
    dims, size = operation.spatial_dims, image.shape[2:]
    result, patches = image.clone(), []
    sides = [int(each * length + 1e-6) for each, length in zip(operation.fractions, size, strict=True)]
    for row in range(len(image)):
        offset, cells = params[row, :dims], params[row, dims:].reshape(-1, dims).long()
        corners = []
        for cell in cells.tolist():
            corner = []
            for axis in range(dims):
                room = size[axis] - operation.cells[axis] * sides[axis]
                corner.append(min(int(offset[axis] * (room + 1)), room) + cell[axis] * sides[axis])
            corners.append(corner)
        half = len(corners) // 2
        for first, second in zip(corners[:half], corners[half:], strict=True):
            one, two = (tuple(slice(c, c + s) for c, s in zip(at, sides, strict=True)) for at in (first, second))
            result[(row, slice(None), *one)] = image[(row, slice(None), *two)]
            result[(row, slice(None), *two)] = image[(row, slice(None), *one)]
        patches.append(corners)
    return result, patches, sides


@pytest.mark.parametrize("dims, fraction", [(2, 0.17), (3, 0.17), (2, (0.3, 0.1)), (3, (0.34, 0.17, 0.25))])
def test_patches_are_exchanged_do_not_overlap_and_lie_inside(dims, fraction):
    operation, image = PatchSwapping(5, fraction, dims), numbered(20, dims)
    params = operation.make_params(20, generator())
    expected, patches, sides = swapped_by_hand(operation, image, params)
    found = operation.apply(image, params)
    assert torch.equal(found, expected)
    for corners in patches:
        for one, two in itertools.combinations(corners, 2):
            assert any(abs(a - b) >= side for a, b, side in zip(one, two, sides, strict=True))
        for corner in corners:
            ends = [c + side for c, side in zip(corner, sides, strict=True)]
            assert min(corner) >= 0 and all(end <= length for end, length in zip(ends, SIZES[dims], strict=True))
    changed = (found != image).flatten(1).sum(dim=1)
    assert (changed == 2 * 5 * torch.Size(sides).numel()).all()  # every swap happened, on places of its own
    assert torch.equal(found.flatten(1).sort(dim=1).values, image.flatten(1))  # nothing is lost, nothing is new
    assert torch.equal(operation.apply(found, params), image)  # a second exchange restores


def test_patches_reach_all_of_the_image():
    operation, image = PatchSwapping(4, 0.17), numbered(1, 2).expand(300, 1, *SIZES[2])
    touched = (operation.apply(image, operation.make_params(300, generator())) != image).any(dim=0)[0]
    assert touched.double().mean() > 0.95


@pytest.mark.parametrize("side, fraction, pixels", [(192, 5 / 192, 5), (96, 5 / 96, 5), (96, 5 / 192, 2)])
def test_the_papers_patches(side, fraction, pixels):
    operation = PatchSwapping(fraction=fraction)
    image = torch.arange(side * side, dtype=torch.float64).reshape(1, 1, side, side)
    assert (operation.apply(image, operation.make_params(1, generator())) != image).sum() == 20 * pixels**2


@each_operation
def test_gradient_flows_to_the_image(name):
    operation = OPERATIONS[name](2)
    image, params = noise(2, 1, 10, 9, dtype=torch.float64).requires_grad_(), operation.make_params(2, generator())
    assert torch.autograd.gradcheck(lambda values: operation.apply(values, params), image)


@pytest.mark.gpu
@each_dims
@each_operation
def test_cuda_makes_the_views_of_the_cpu_without_waiting(name, dims):
    policy = ViewPolicy([OPERATIONS[name](dims)], spatial_dims=dims)
    image, params = noise(6, 2, *SIZES[dims]), policy.make_params(6, generator())
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


def test_a_corrupted_view_is_made_from_the_view_that_is_its_target():
    prepare = PrepareViews([identity_policy(), ViewPolicy([BoxErasing(0.5)])], made_from=[None, 0])
    views, _, _, _ = prepare({"image": noise(4, 1, 24, 24) + 1})
    target, corrupted = (view["image"] for view in views)
    assert torch.equal(torch.where(corrupted == 0, target, corrupted), target) and (corrupted == 0).any()


@pytest.mark.parametrize("make", [lambda: BoxErasing(0.3, 3), lambda: PatchSwapping(2, 0.2, 3)])
def test_as_a_monai_transform(make):
    volume, policy = noise(1, 24, 30, 20), ViewPolicy([make()], spatial_dims=3)
    form = RandPolicyd("image", policy)
    item = Compose([form])({"image": volume, "label": volume})
    assert torch.equal(item["image"], policy.apply({"image": volume[None]}, form.params)["image"][0])
    assert not torch.equal(item["image"], volume) and item["label"] is volume


@pytest.mark.parametrize(
    "make",
    [
        lambda: BoxErasing(0.0),
        lambda: BoxErasing(1.2),
        lambda: BoxErasing(0.5, 4),
        lambda: PatchSwapping(0),
        lambda: PatchSwapping(10, 0.0),
        lambda: PatchSwapping(10, 0.25),
        lambda: PatchSwapping(1, 1.0),
        lambda: PatchSwapping(1, 2.0),
        lambda: PatchSwapping(10, 5 / 192, 1),
    ],
)
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ValueError, match="found"):
        make()


def test_images_that_do_not_fit_are_refused():
    for operation in (BoxErasing(), PatchSwapping(2, 0.2)):
        with pytest.raises(ValueError, match=r"has spatial_dims=2, found an image batch of shape \(1, 1, 8, 8, 8\)"):
            operation.apply(torch.zeros(1, 1, 8, 8, 8), operation.make_params(1, generator()))
    fine = PatchSwapping(2, 0.05)
    with pytest.raises(ValueError, match=r"smaller than a voxel of an image of \(16, 30\).*at least 0.0625"):
        fine.apply(torch.zeros(1, 1, 16, 30), fine.make_params(1, generator()))
