# SPDX-License-Identifier: Apache-2.0
"""What holds for every operation."""

import pytest
import torch
from operation_cases import (
    channels_of,
    generator,
    noise,
    operations,
    size_of,
    smooth_image,
    sometimes,
    without_strength,
)

from monai_cl_ext.transforms import (
    ClampIntensity,
    Contrast,
    CropResize,
    ElasticDeformation,
    IntensityOperation,
    IntensityScaling,
    IntensityShift,
    Mirror,
    Rotation,
    Scaling,
    Solarization,
    StepRotation,
    Translation,
    UnitRange,
    ViewPolicy,
)

NAMES = sorted(operations(2))
each_operation = pytest.mark.parametrize("name", NAMES)
each_dims = pytest.mark.parametrize("dims", [2, 3])


@each_dims
@pytest.mark.parametrize("name", sorted(without_strength(2)))
def test_zero_strength_changes_nothing(name, dims):
    image = noise(4, channels_of(name, 2), *size_of(dims))
    label = torch.randint(5, (4, 1, *size_of(dims)), generator=generator())
    policy = ViewPolicy([without_strength(dims)[name]], spatial_dims=dims)
    view = policy({"image": image, "label": label}, generator())
    torch.testing.assert_close(view["image"], image, atol=1e-6, rtol=0)
    assert torch.equal(view["label"], label)


@each_dims
@each_operation
def test_samples_left_alone_stay_and_the_others_change(name, dims):
    operation = sometimes(operations(dims)[name])
    policy = ViewPolicy([operation], spatial_dims=dims)
    params = policy.make_params(40, generator())
    alone = (params == operation.identity).all(dim=1)
    assert 0 < alone.sum() < 40
    image = noise(40, channels_of(name), *size_of(dims))
    change = (policy.apply({"image": image}, params)["image"] - image).abs().flatten(1).amax(dim=1)
    assert change[alone].max() < 1e-5
    assert (change[~alone] > 1e-4).double().mean() > 0.9  # three half turns in 3D are none


@each_dims
@each_operation
def test_same_seed_same_view_and_other_seed_other_view(name, dims):
    policy = ViewPolicy([operations(dims)[name]], spatial_dims=dims)
    view = {"image": noise(5, channels_of(name), *size_of(dims))}
    first, again, other = (policy(view, generator(seed))["image"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


@each_dims
@each_operation
def test_every_sample_has_its_own_parameters_and_sees_no_other(name, dims):
    policy = ViewPolicy([operations(dims)[name]], spatial_dims=dims)
    image, params = noise(6, channels_of(name, 2), *size_of(dims)), policy.make_params(6, generator())
    assert len(params.unique(dim=0)) > 1
    whole = policy.apply({"image": image}, params)["image"]
    for row in range(6):
        alone = policy.apply({"image": image[row : row + 1]}, params[row : row + 1])["image"]
        torch.testing.assert_close(whole[row : row + 1], alone, atol=2e-5, rtol=0)


@each_dims
@each_operation
def test_image_and_label_stay_aligned(name, dims):
    """An image that is its label, of large blocks: far from the edges of blocks the two agree after any warp."""
    operation = operations(dims)[name]
    size = tuple(4 * side for side in size_of(dims))
    label = torch.zeros(3, 1, *size, dtype=torch.uint8)
    for axis in range(2, 2 + dims):
        place = torch.arange(size[axis - 2]).reshape([-1 if each == axis else 1 for each in range(2 + dims)])
        label += ((place // 7) % 2).to(torch.uint8)
    policy = ViewPolicy([operation], spatial_dims=dims)
    view = policy({"image": label.double(), "label": label, "superpixel": label.int()}, generator())
    assert torch.equal(view["label"].int(), view["superpixel"])
    assert view["label"].max() <= dims
    if isinstance(operation, IntensityOperation):
        assert torch.equal(view["label"], label)
    else:
        difference = (view["image"] - view["label"]).abs()
        inside = view["label"] > 0  # outside of the image labels are 0
        assert difference[inside].mean() < 0.3
        assert (difference[inside] < 0.5).double().mean() > 0.75


@each_operation
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_and_shapes_are_kept(name, dtype):
    image, label = noise(3, channels_of(name, 2), 20, 14).to(dtype), torch.ones(3, 1, 20, 14, dtype=torch.uint8)
    view = ViewPolicy([operations(2)[name]])({"image": image, "label": label}, generator())
    assert view["image"].dtype == dtype and view["image"].shape == image.shape
    assert view["label"].dtype == torch.uint8 and view["label"].shape == label.shape


@each_dims
@each_operation
def test_values_stay_in_range(name, dims):
    operation = operations(dims)[name]
    image = noise(20, channels_of(name), *size_of(dims))
    changed = ViewPolicy([operation], spatial_dims=dims)({"image": image}, generator())["image"]
    assert changed.isfinite().all()
    if not isinstance(operation, IntensityOperation):
        assert changed.min() >= image.min() - 1e-5 and changed.max() <= image.max() + 1e-5


@pytest.mark.slow
@each_operation
def test_gradient_flows_to_the_image(name):
    image = smooth_image(2, (9, 7), channels=channels_of(name)).requires_grad_()
    policy = ViewPolicy([operations(2)[name]])
    params = policy.make_params(2, generator())
    assert torch.autograd.gradcheck(lambda values: policy.apply({"image": values}, params)["image"], image)


@pytest.mark.gpu
@each_dims
@each_operation
def test_cuda_makes_the_views_of_the_cpu_without_waiting(name, dims):
    policy = ViewPolicy([operations(dims)[name]], size=size_of(dims)[::-1], spatial_dims=dims)
    view = {"image": noise(6, channels_of(name, 2), *size_of(dims)), "label": torch.randint(5, (6, 1, *size_of(dims)))}
    params = policy.make_params(6, generator())
    expected, there = policy.apply(view, params), {key: value.cuda() for key, value in view.items()}
    policy.apply(there, params)
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = policy.apply(there, params)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    if name == "noise":  # its numbers are each device's own
        torch.testing.assert_close(found["image"], policy.apply(there, params)["image"], atol=0, rtol=0)
    else:
        torch.testing.assert_close(found["image"].cpu(), expected["image"], atol=1e-4, rtol=0)
    assert (found["label"].cpu() == expected["label"]).double().mean() > 0.99


def test_draws_cover_their_ranges_evenly():
    params = {name: operation.make_params(4000, generator()) for name, operation in operations(3).items()}
    ranges = {"shift": (-0.3, 0.3), "contrast": (0.7, 1.3), "scaling": (0.6, 1.6)}
    ranges |= {"intensity_scaling": (0.5, 1.5), "blur": (0.5, 2.0), "saturation": (0.2, 1.8), "hue": (-0.4, 0.4)}
    ranges |= {"noise": (0.05, 0.2)}
    for name, (low, high) in ranges.items():
        drawn = params[name][:, :1]
        assert low <= drawn.min() and drawn.max() <= high
        assert drawn.mean().item() == pytest.approx((low + high) / 2, abs=0.03)
        assert drawn.std().item() == pytest.approx((high - low) / 12**0.5, rel=0.05)
    assert params["rotation"].shape == (4000, 3) and params["rotation"].abs().max() <= 40
    assert params["translation"].abs().max() <= 0.2 < params["translation"].abs().max() + 0.01
    assert sorted(params["step_rotation"].unique().tolist()) == [45.0 * steps for steps in range(8)]
    assert params["mirror"].mean(dim=0).abs().max() < 0.05 and set(params["mirror"].unique().tolist()) == {-1.0, 1.0}
    assert params["elastic"].std().item() == pytest.approx(0.05, rel=0.02)
    fraction, location = params["crop"][:, 0], params["crop"][:, 1:]
    assert fraction.min() >= 0.5 and fraction.max() <= 0.9 and location.min() >= 0 and location.max() <= 1


def test_intensity_formulas_written_out():
    image, params = noise(2, 3, 4, 5, dtype=torch.float64), torch.tensor([[0.5], [1.25]], dtype=torch.float64)
    brighter, stronger = IntensityShift(0, 2).apply(image, params), Contrast(0.5, 2).apply(image, params)
    clamped = ClampIntensity(0.2, 0.6).apply(image, params[:, :0])
    scaled, unit = IntensityScaling(0.5, 2).apply(image, params), UnitRange().apply(image, params[:, :0])
    solarized = Solarization().apply(image, params)
    for row in range(2):
        least, most = min(image[row].flatten().tolist()), max(image[row].flatten().tolist())
        for channel in range(3):
            plane, factor = image[row, channel], params[row, 0].item()
            mean = sum(plane.flatten().tolist()) / 20
            for i in range(4):
                for j in range(5):
                    value = plane[i, j].item()
                    assert brighter[row, channel, i, j].item() == pytest.approx(value + factor)
                    assert stronger[row, channel, i, j].item() == pytest.approx(mean + factor * (value - mean))
                    assert clamped[row, channel, i, j].item() == min(max(value, 0.2), 0.6)
                    assert scaled[row, channel, i, j].item() == pytest.approx(factor * value)
                    inverted = 1 - value if value >= factor else value
                    assert solarized[row, channel, i, j].item() == pytest.approx(inverted)
                    assert unit[row, channel, i, j].item() == pytest.approx((value - least) / (most - least))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_unit_range_touches_0_and_1_and_takes_constants_to_0(dtype):
    image = 3.0 * noise(3, 2, 8, 6, dtype=torch.float64).to(dtype) - 1.5
    image[1] = 0.3
    image[2, 0] = image[2, 0].mean()
    unit = UnitRange().apply(image, torch.empty(3, 0))
    assert unit.dtype == dtype
    assert unit[0].min() == 0 and unit[0].max() == 1 and unit[2].min() == 0 and unit[2].max() == 1
    assert (unit[1] == 0).all() and (unit[2, 0] > 0).all()


def test_unit_range_does_not_blow_up_the_rounding_of_a_constant():
    image = torch.full((2, 1, 16, 16), 0.3)
    image[0, 0, 3, 5] += 3e-8  # one step of float32
    image[1, 0, 3, 5] += 3e-5
    unit = UnitRange().apply(image.requires_grad_(), torch.empty(2, 0))
    assert (unit[0] == 0).all() and unit[1].max() == 1
    unit.sum().backward()
    assert image.grad.isfinite().all() and (image.grad[0] == 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntensityShift(0.3, -0.3),
        lambda: IntensityShift(0.0, float("nan")),
        lambda: IntensityShift(0.0, 1.0, probability=1.5),
        lambda: Contrast(0.0, 1.0),
        lambda: IntensityScaling(0.0, 1.0),
        lambda: ClampIntensity(1.0, 0.0),
        lambda: IntensityScaling(0.5, 1.0, limits=(1.0, 0.0)),
        lambda: Contrast(0.5, 1.0, mean="median"),
        lambda: Solarization(float("nan")),
        lambda: CropResize(1.2),
        lambda: CropResize(0.0),
        lambda: CropResize(0.5, location=(0.0, 1.2)),
        lambda: CropResize(0.5, spatial_dims=4),
        lambda: Mirror(2),
        lambda: Mirror((0, -2)),
        lambda: Mirror(0, axis_probability=1.1),
        lambda: Rotation(-3.0),
        lambda: Rotation((1.0, 2.0), spatial_dims=3),
        lambda: StepRotation(50.0),
        lambda: StepRotation(0.0),
        lambda: Scaling(0.0, 1.0),
        lambda: Translation(-0.1),
        lambda: ElasticDeformation(-1.0),
        lambda: ElasticDeformation(0.1, points=1),
    ],
)
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ValueError, match="found"):
        make()
