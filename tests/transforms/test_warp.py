# SPDX-License-Identifier: Apache-2.0
"""Where the warps read: against rotations, flips, slices and loops written by hand."""

from math import cos, floor, radians, sin

import pytest
import torch
from operation_cases import generator, noise, smooth_image
from torch.nn.functional import interpolate

from monai_cl_ext.transforms import (
    CropResize,
    ElasticDeformation,
    Mirror,
    Rotation,
    Scaling,
    Translation,
    ViewPolicy,
    identity_policy,
)
from monai_cl_ext.transforms.policies import axis_sampling


def warped(operations, image, params, **kwargs):
    policy = ViewPolicy(operations, spatial_dims=image.ndim - 2, **kwargs)
    return policy.apply({"image": image}, torch.as_tensor(params, dtype=torch.float32))["image"]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_rot90(turns):
    image = noise(1, 2, 16, 16, dtype=torch.float64)
    found = warped([Rotation(180)], image, [[90.0 * turns]])
    torch.testing.assert_close(found, torch.rot90(image, turns, (2, 3)), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("axis", "plane"), [(0, (3, 4)), (1, (4, 2)), (2, (2, 3))])
def test_quarter_turns_about_each_axis_in_3d_are_rot90(axis, plane):
    image = noise(1, 1, 8, 8, 8, dtype=torch.float64)
    angles = [[90.0 if each == axis else 0.0 for each in range(3)]]
    found = warped([Rotation(180, spatial_dims=3)], image, angles)
    torch.testing.assert_close(found, torch.rot90(image, 1, plane), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("axes", "dims"), [((0,), 2), ((1,), 2), ((0, 1), 2), ((0,), 3), ((2,), 3), ((0, 2), 3)])
def test_mirror_is_flip(axes, dims):
    image = noise(2, 1, *(10, 7, 5)[:dims])
    found = warped([Mirror(axes, dims)], image, torch.full((2, len(axes)), -1.0))
    torch.testing.assert_close(found, image.flip([2 + axis for axis in axes]), atol=2e-6, rtol=0)


def test_crop_is_slicing_and_interpolating():
    image = noise(1, 1, 24, 16, dtype=torch.float64)
    # Boxes of half a side; the first corner at (6, 2) of the (12, 8) voxels in which it can move.
    found = warped([CropResize(0.5)], image, [[0.5, 6 / 12, 2 / 8]])
    expected = interpolate(image[:, :, 6:18, 2:10], size=(24, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], atol=1e-6, rtol=0)


def test_crop_in_3d_is_slicing_and_interpolating():
    image = noise(1, 1, 8, 12, 16, dtype=torch.float64)
    found = warped([CropResize(0.5, spatial_dims=3)], image, [[0.5, 1.0, 0.0, 0.5]])
    expected = interpolate(image[:, :, 4:, :6, 4:12], size=(8, 12, 16), mode="trilinear", align_corners=False)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(found[inner], expected[inner], atol=1e-6, rtol=0)


def test_crop_never_leaves_the_image():
    """Not even by half a voxel at its edges, where zeros would darken the view."""
    image = torch.ones(64, 1, 17, 13)
    view = ViewPolicy([CropResize((0.2, 1.0))])({"image": image, "label": image.byte()}, generator())
    assert view["image"].min() > 1 - 1e-5 and view["label"].min() == 1


def test_translation_moves_by_whole_voxels():
    image, label = noise(1, 1, 10, 20, dtype=torch.float64), torch.ones(1, 1, 10, 20, dtype=torch.uint8)
    policy = ViewPolicy([Translation(0.5)], padding_mode="zeros")
    view = policy.apply({"image": image, "label": label}, torch.tensor([[0.2, -0.1]]))
    torch.testing.assert_close(view["image"][:, :, 2:, :-2], image[:, :, :-2, 2:], atol=1e-6, rtol=0)
    assert view["image"][:, :, :2].abs().max() < 1e-6 and view["image"][:, :, :, -2:].abs().max() < 1e-6
    assert view["label"][:, :, :2].max() == 0 and view["label"][:, :, 2:, :-2].min() == 1


def test_border_padding_repeats_the_edge_and_labels_hold_zero():
    image, label = noise(1, 1, 10, 10), torch.ones(1, 1, 10, 10, dtype=torch.uint8)
    view = ViewPolicy([Translation(0.5)]).apply({"image": image, "label": label}, torch.tensor([[0.3, 0.0]]))
    torch.testing.assert_close(view["image"][:, :, :3], image[:, :, :1].expand(-1, -1, 3, -1), atol=1e-6, rtol=0)
    assert view["label"][:, :, :3].max() == 0


def test_affine_run_equals_bilinear_sampling_written_out():
    """Rotation, then scaling, then crop, on sides that differ: the place of every pixel by hand, in float64."""
    height, width, angle, factor, fraction, place = 12, 18, 33.0, 1.25, 0.5, (0.25, 0.75)
    image = noise(1, 1, height, width, dtype=torch.float64)
    operations = [Rotation(90), Scaling(0.5, 2.0), CropResize(0.5)]
    found = warped(operations, image, [[angle, factor, fraction, *place]], padding_mode="zeros")
    c, s = cos(radians(angle)), sin(radians(angle))
    for i in range(height):
        for j in range(width):
            y, x = i + 0.5 - height / 2, j + 0.5 - width / 2  # pixels from the center
            y = fraction * y + (place[0] - 0.5) * (1 - fraction) * height  # the crop came last: undone first
            x = fraction * x + (place[1] - 0.5) * (1 - fraction) * width
            y, x = y / factor, x / factor
            y, x = c * y + s * x, -s * y + c * x
            y, x = y + height / 2 - 0.5, x + width / 2 - 0.5
            expected = 0.0
            for row in (floor(y), floor(y) + 1):
                for column in (floor(x), floor(x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        weight = (1 - abs(y - row)) * (1 - abs(x - column))
                        expected += weight * image[0, 0, row, column].item()
            assert found[0, 0, i, j].item() == pytest.approx(expected, abs=1e-6)


RUNS = {
    "rotation, crop": lambda dims: [Rotation(30, dims), CropResize((0.7, 0.9), spatial_dims=dims)],
    "crop, rotation": lambda dims: [CropResize((0.7, 0.9), spatial_dims=dims), Rotation(30, dims)],
    "translation, mirror": lambda dims: [Translation(0.1, dims), Mirror(0, dims)],
    "scaling, elastic": lambda dims: [Scaling(0.9, 1.3, dims), ElasticDeformation(0.03, 3, dims)],
    "elastic, rotation": lambda dims: [ElasticDeformation(0.03, 3, dims), Rotation(30, dims)],
    "elastic, elastic": lambda dims: [ElasticDeformation(0.03, 3, dims), ElasticDeformation(0.02, 4, dims)],
    "rotation, elastic, crop, elastic, mirror": lambda dims: [
        Rotation(30, dims),
        ElasticDeformation(0.02, 3, dims),
        CropResize(0.8, spatial_dims=dims),
        ElasticDeformation(0.02, 3, dims),
        Mirror(-1, dims),
    ],
}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_one_grid_equals_one_operation_after_the_other(run, dims):
    operations = run(dims)
    image = smooth_image(3, (96, 72) if dims == 2 else (60, 48, 54))
    together = ViewPolicy(operations, spatial_dims=dims, padding_mode="zeros")
    params = together.make_params(3, generator())
    expected, inside = image, torch.ones_like(image)
    for operation, part in zip(operations, params.split([each.columns for each in operations], dim=1), strict=True):
        expected = warped([operation], expected, part, padding_mode="zeros")
        inside = warped([operation], inside, part, padding_mode="zeros")
    found = together.apply({"image": image}, params)["image"]
    # One grid still reads what the step in between would have pushed out of the image; compare where none was.
    kept = inside > 0.999
    assert kept.double().mean() > 0.4
    assert (found - image)[kept].abs().max() > 0.1 * image.max()
    assert (found - expected)[kept].abs().max() < 0.012 * image.max()


def test_elastic_displacement_at_control_points_is_the_drawn_one():
    """A ramp reads its own coordinate: the center pixel of an odd image is the middle control point."""
    ramp = torch.arange(33.0).reshape(1, 1, 33, 1).expand(-1, -1, -1, 21).double()
    params = torch.zeros(1, 2, 3, 3)
    params[0, 0, 1, 1], params[0, 1, 1, 1] = 0.1, 0.3  # fractions of the sides, first axis first
    moved = warped([ElasticDeformation(0.1)], ramp, params.flatten(1))
    assert moved[0, 0, 16, 10].item() == pytest.approx(16 + 0.1 * 33, abs=1e-5)
    torch.testing.assert_close(moved[0, 0, 0], ramp[0, 0, 0], atol=1e-5, rtol=0)  # control points of the edge rest
    moved = warped([ElasticDeformation(0.1)], ramp.transpose(2, 3), params.flatten(1))
    assert moved[0, 0, 10, 16].item() == pytest.approx(16 + 0.3 * 33, abs=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("shrink", [2, 3, 4])
def test_shrinking_a_checkerboard_gives_its_mean(dims, shrink):
    size = (48,) * dims
    parity = sum(torch.meshgrid(*[torch.arange(side) for side in size], indexing="ij")) % 2
    small = identity_policy(48 // shrink, dims)
    view = small({"image": parity.double()[None, None]}, generator())["image"]
    inner = view[(0, 0, *[slice(1, -1)] * dims)]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.02, rtol=0)


def test_each_sample_is_smoothed_by_its_own_shrinking():
    """Noise read at a third of its size loses variance as averaging does; its unshrunk neighbor loses none."""
    image = torch.randn(2, 1, 96, 96, generator=generator(), dtype=torch.float64)
    view = warped([Scaling(0.3, 1.0)], image, [[1 / 3], [1.0]])
    inner = view[0, 0, 36:60, 36:60]
    assert inner.var() < 0.15
    torch.testing.assert_close(view[1], image[1], atol=1e-9, rtol=0)


def test_downsampling_is_close_to_torch_with_antialiasing():
    image = noise(2, 1, 64, 48, dtype=torch.float64)
    found = identity_policy((32, 24))({"image": image}, generator())["image"]
    expected = interpolate(image, size=(32, 24), mode="bilinear", antialias=True)
    assert (found - expected)[:, :, 2:-2, 2:-2].abs().max() < 0.1
    assert (found - expected)[:, :, 2:-2, 2:-2].std() < 0.25 * expected.std()


def test_only_the_axis_that_shrinks_is_smoothed():
    image = noise(1, 1, 6, 32, 8, dtype=torch.float64)
    found = identity_policy((6, 16, 8), 3)({"image": image}, generator())["image"]
    padded = torch.cat([image[:, :, :, :1], image, image[:, :, :, -1:]], dim=3)
    smoothed = 0.25 * padded[:, :, :, :-2] + 0.5 * padded[:, :, :, 1:-1] + 0.25 * padded[:, :, :, 2:]
    expected = (smoothed[:, :, :, 0::2] + smoothed[:, :, :, 1::2]) / 2
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_a_sample_that_hardly_shrinks_is_not_smoothed_for_the_sake_of_another():
    image = torch.rand(2, 1, 20, 14, generator=torch.Generator().manual_seed(0))
    policy, params = ViewPolicy([Scaling(0.5, 1.0)]), torch.tensor([[0.95], [0.5]])
    together = policy.apply({"image": image}, params)["image"]
    alone = policy.apply({"image": image[:1]}, params[:1])["image"]
    torch.testing.assert_close(together[:1], alone, atol=2e-5, rtol=0)


def distinct(*size):
    """A label for each voxel."""
    return torch.arange(1.0, 1 + torch.Size(size).numel()).reshape(1, 1, *size)


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("size", [None, (9, 4, 6)])
@pytest.mark.parametrize("way", ["_by_rows", "_by_matrix"])
def test_sampling_axis_by_axis_equals_sampling_a_grid(padding, size, way, monkeypatch):
    monkeypatch.setattr(axis_sampling, "_by_rows", getattr(axis_sampling, way))  # on a CPU also as on a GPU
    operations = [CropResize((0.4, 0.9), spatial_dims=3), Mirror((0, 2), 3), Translation(0.3, spatial_dims=3)]
    view = {"image": noise(2, 2, 7, 10, 8, dtype=torch.float64), "label": distinct(7, 10, 8).repeat(2, 1, 1, 1, 1)}
    policy = ViewPolicy(operations, size, spatial_dims=3, padding_mode=padding)
    params = policy.make_params(2, generator(3))
    (warp,) = policy.steps
    sampling = warp.prepare(params, (7, 10, 8))
    assert {"coordinate0", "coordinate1", "coordinate2"} <= set(sampling)
    # A turn too small to see takes the way of all other matrices.
    turned = ViewPolicy([*operations, Rotation(1e-9, spatial_dims=3)], size, spatial_dims=3, padding_mode=padding)
    expected = turned.apply(view, torch.cat([params, torch.full((2, 3), 1e-10)], dim=1))
    found = policy.apply(view, params)
    torch.testing.assert_close(found["image"], expected["image"], atol=1e-9, rtol=0)
    assert torch.equal(found["label"], expected["label"])
    assert found["label"].dtype == view["label"].dtype
