# SPDX-License-Identifier: Apache-2.0
"""Patches of volumes whose sides differ: coordinates are voxels, and no axis is too short for a box."""

import math

import pytest
import torch
from operation_cases import generator, noise

from monai_cl_ext.methods import RandomBoxes
from monai_cl_ext.transforms import (
    BoxCutout,
    BoxErasing,
    CropResize,
    ElasticDeformation,
    Mirror,
    PatchSwapping,
    PolynomialBiasField,
    Rotation,
    Scaling,
    StepRotation,
    ViewPolicy,
    basic_policy,
    distorted_policy,
    gcl_finetune_policy,
    identity_policy,
    pcl_policy,
    segmentation_policy,
)
from monai_cl_ext.transforms.operations.matrices import rotation_matrix

SIZE = (6, 25, 18)


def places(*size: int) -> torch.Tensor:
    """An image that holds the coordinates of its voxels, (1, d, *S)."""
    return torch.stack(torch.meshgrid(*[torch.arange(float(side)) for side in size], indexing="ij"))[None].double()


def warped(operations, image, params, **kwargs):
    policy = ViewPolicy(operations, spatial_dims=image.ndim - 2, **kwargs)
    return policy.apply({"image": image}, torch.as_tensor(params, dtype=torch.float32))["image"]


@pytest.mark.parametrize(("axis", "plane"), [(0, (1, 2)), (1, (2, 0)), (2, (0, 1))])
def test_a_rotation_about_an_axis_turns_each_slice_across_it(axis, plane):
    volume, angle = noise(1, 1, *SIZE, dtype=torch.float64), 33.0
    angles = [angle if each == axis else 0.0 for each in range(3)]
    found = warped([Rotation([180] * 3, 3)], volume, [angles], padding_mode="zeros")
    slices = volume[0, 0].permute(axis, *plane)[:, None]  # along the axis of rotation, in the order of the turn
    expected = warped([Rotation(180)], slices, [[angle]] * len(slices), padding_mode="zeros")
    torch.testing.assert_close(found[0, 0].permute(axis, *plane), expected[:, 0], atol=1e-6, rtol=0)


def test_rotations_and_zooms_measure_voxels_whatever_the_sides():
    """Every voxel reads what lies, but for the zoom, as many voxels from the center."""
    center = (torch.tensor(SIZE).double() - 1) / 2
    read = warped([Rotation([40] * 3, 3), Scaling(1.0, 2.0, 3)], places(*SIZE), [[25.0, -10.0, 15.0, 1.4]])
    apart = torch.stack([place - middle for place, middle in zip(places(*SIZE)[0], center, strict=True)])
    reached = torch.stack([place - middle for place, middle in zip(read[0], center, strict=True)])
    inside = torch.stack([each.abs() < middle - 0.1 for each, middle in zip(reached, center, strict=True)]).all(0)
    assert inside.double().mean() > 0.5
    torch.testing.assert_close(1.4 * reached.norm(dim=0)[inside], apart.norm(dim=0)[inside], atol=1e-4, rtol=0)


@pytest.mark.parametrize("axis", range(3))
def test_an_elastic_displacement_is_a_fraction_of_the_side_along_which_it_points(axis):
    size = (7, 33, 17)
    params = torch.zeros(1, 3, 3, 3, 3)
    params[0, axis, 1, 1, 1] = 0.1
    moved = warped([ElasticDeformation(0.1, spatial_dims=3)], places(*size), params.flatten(1))
    middle = moved[0, :, 3, 16, 8].tolist()
    expected = [3.0, 16.0, 8.0]
    expected[axis] += 0.1 * size[axis]
    assert middle == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("make", [basic_policy, pcl_policy, segmentation_policy, gcl_finetune_policy])
@pytest.mark.parametrize(("size", "rotation"), [(SIZE, (0.0, 0.0, 90.0)), ((28, 25, 8), 90.0)])
def test_rotations_stay_within_slices_where_the_angles_or_a_flat_patch_say_so(make, size, rotation):
    policy = make(spatial_dims=3, rotation=rotation)
    turning = [each for each in flat(policy.operations) if isinstance(each, (Rotation, StepRotation))]
    assert turning
    only = policy.with_operations(turning)
    matrix = only.voxel_matrix(only.make_params(40, generator()), size)
    expected = torch.eye(4, dtype=torch.float64)[2].expand(40, -1)
    torch.testing.assert_close(matrix[:, 2], expected, atol=1e-9, rtol=0)  # no voxel leaves its slice
    assert (matrix[:, 0, 0] - 1).abs().max() > 0.1


@pytest.mark.parametrize(("size", "axes"), [
    ((28, 28, 9), [2]), ((9, 28, 28), [0]), ((28, 9, 28), [1]), ((32, 16, 8), [2]),  # slabs, about their short side
    ((8, 25, 8), [1]), ((32, 9, 8), [0]),  # rods, about their long side
    ((27, 27, 9), [0, 1, 2]), ((8, 24, 8), [0, 1, 2]),  # not flat
])  # fmt: skip
@pytest.mark.parametrize(("free", "named"), [
    (Rotation(40.0, 3), Rotation([40.0] * 3, 3)), (StepRotation(45.0, 3), StepRotation(45.0, 3, axes=(0, 1, 2)))
])  # fmt: skip
def test_a_flat_patch_turns_about_one_axis_unless_axes_are_named(free, named, size, axes):
    angles = free.make_params(50, generator())
    assert torch.equal(angles, named.make_params(50, generator())) and angles.abs().amax(0).min() > 30
    within = angles * torch.tensor([axis in axes for axis in range(3)])
    assert torch.equal(free.matrix(angles, size), rotation_matrix(within, 3))
    assert torch.equal(free.scaled(0.5).matrix(angles, size), free.matrix(angles, size))
    assert torch.equal(named.matrix(angles, size), rotation_matrix(angles, 3))
    assert torch.equal(named.scaled(0.5).matrix(angles, size), named.matrix(angles, size))


def flat(operations):
    for each in operations:
        yield from flat(each.operations) if hasattr(each, "operations") else [each]


def test_steps_are_about_the_axes_that_are_named():
    drawn = StepRotation(45.0, 3, axes=(0, 2)).make_params(200, generator())
    assert drawn[:, 1].abs().max() == 0 and all(len(drawn[:, axis].unique()) == 8 for axis in (0, 2))
    everywhere = StepRotation(45.0, 3).make_params(200, generator())
    assert torch.equal(drawn[:, [0, 2]], everywhere[:, [0, 2]])
    assert StepRotation(45.0, 3, axes=(0, 2)).scaled(0.5).axes == (0, 2)
    for dims, axes in ((2, (0,)), (3, (3,)), (3, (-1,))):
        with pytest.raises(ValueError, match=f"axes of 0, 1 and 2 in 3D alone, found .* in {dims}D"):
            StepRotation(45.0, dims, axes=axes)


def test_no_axis_is_too_short_for_a_box():
    image, size = torch.ones(200, 1, 3, 40, 40), (3, 40, 40)
    for operation in (BoxErasing(0.1, 3), BoxCutout(fractions=(0.05, 0.1), boxes=1, spatial_dims=3)):
        changed = operation.apply(image, operation.make_params(200, generator())) == 0
        assert changed.flatten(1).any(dim=1).all()
    masks = RandomBoxes(0.1, 0.2)(image)
    assert (masks == 0).flatten(1).any(dim=1).all()
    assert {tuple(each) for each in (masks == 0).any(dim=-1).any(dim=-1)[:, 0].int().tolist()} == {
        (1, 0, 0), (0, 1, 0), (0, 0, 1),
    }  # fmt: skip
    left_alone = BoxErasing(0.1, 3, probability=0.0)
    assert torch.equal(left_alone.apply(image, left_alone.make_params(200, generator())), image)
    assert RandomBoxes(0.1, 0.2, probability=0.0)(image).min() == 1 and masks.shape[2:] == size


def test_patches_of_flat_volumes_have_a_side_for_each_axis():
    image = noise(2, 1, 16, 64, 64)
    with pytest.raises(ValueError, match=r"a fraction of at least 0\.0625, or one for each axis"):
        ViewPolicy([PatchSwapping(10, 12 / 224, 3)], spatial_dims=3)({"image": image}, generator())
    policy = distorted_policy(
        identity_policy(spatial_dims=3), cutout=0, outer_cutout=0, swapping=1, patch=(1 / 4, 1 / 8, 1 / 16)
    )
    swapped = policy({"image": image}, generator())["image"] != image
    assert swapped.flatten(1).sum(1).tolist() == [20 * 4 * 8 * 4] * 2
    with pytest.raises(ValueError, match="patches of 0.5 x 0.25 x 0.25 of the side leave 9 cells"):
        PatchSwapping(10, (0.5, 0.25, 0.25), 3)
    with pytest.raises(ValueError, match="fraction must be one number, or three"):
        PatchSwapping(10, (0.5, 0.25), 3)


def test_the_bias_field_is_as_strong_in_volumes_as_in_slices():
    corner = {}
    for dims in (2, 3):
        (field,) = [each for each in segmentation_policy(spatial_dims=dims).operations if "Bias" in type(each).__name__]
        assert isinstance(field, PolynomialBiasField)
        image = torch.ones(3000, 1, *[3] * dims, dtype=torch.float64)
        factor = field.apply(image, field.draw(3000, generator()))
        corner[dims] = factor.flatten(1)[:, -1].log().mean().item()  # all polynomials are 1 there
    assert corner[2] == pytest.approx(2.5, rel=0.02) and corner[3] == pytest.approx(corner[2], rel=0.02)


def test_what_a_crop_leaves_out_plays_no_part():
    """Not even where it is not a number, which a weight of 0 would not help."""
    image = noise(1, 1, 12, 16, 20)
    image[:, :, :3] = image[:, :, :, 12:] = image[..., 15:] = math.nan
    found = warped([CropResize(0.5, spatial_dims=3), Mirror(1, 3)], image, [[0.5, 1.0, 0.0, 0.4, 1.0]])
    assert found.isfinite().all()
