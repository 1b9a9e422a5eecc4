# SPDX-License-Identifier: Apache-2.0
"""Policies between the identity and themselves."""

import inspect

import pytest
import torch
from operation_cases import channels_of, generator, noise, operations, size_of, smooth_image, sometimes

import monai_cl_ext.transforms as ours
from monai_cl_ext.transforms import (
    BoxCutout,
    BoxErasing,
    ChannelWise,
    ClampIntensity,
    OneOperation,
    Operation,
    OperationGroup,
    PatchSwapping,
    Standardization,
    UnitRange,
    ViewPolicy,
    basic_policy,
    gcl_finetune_policy,
    gcl_intensity_policy,
    gcl_policy,
    identity_policy,
    moco_policy,
    pcl_policy,
    scale_policy,
    simclr_policy,
    strong_policy,
    supercl_policy,
    weak_med_policy,
    weak_policy,
)

NAMES = sorted(operations(2))
each_operation = pytest.mark.parametrize("name", NAMES)
each_dims = pytest.mark.parametrize("dims", [2, 3])
POLICIES = [gcl_policy, gcl_intensity_policy, gcl_finetune_policy, pcl_policy, supercl_policy]
POLICIES += [strong_policy, weak_policy, weak_med_policy, basic_policy, simclr_policy, moco_policy, identity_policy]
each_policy = pytest.mark.parametrize("make", POLICIES, ids=lambda make: make.__name__)


def single(operation: Operation, dims: int) -> ViewPolicy:
    return ViewPolicy([operation], spatial_dims=dims)


def photographs(rows: int, *size: int) -> dict[str, torch.Tensor]:
    return {"image": noise(rows, 3, *size), "label": torch.randint(4, (rows, 1, *size), generator=generator())}


def test_every_operation_is_among_the_cases_or_is_known_to_have_no_case():
    classes = {each for each in vars(ours).values() if inspect.isclass(each) and issubclass(each, Operation)}
    concrete = {each for each in classes if not inspect.isabstract(each)}
    assert concrete == {type(each) for each in operations(2).values()} | {
        ChannelWise, ClampIntensity, UnitRange, Standardization, BoxCutout, BoxErasing, OneOperation, PatchSwapping
    }  # fmt: skip


@each_dims
@each_operation
def test_strength_1_is_the_operation_and_0_the_identity(name, dims):
    operation, view = operations(dims)[name], {"image": noise(6, channels_of(name), *size_of(dims))}
    policy, params = single(operation, dims), operation.make_params(6, generator())
    whole, none = operation.scaled(1.0), operation.scaled(0.0)
    assert type(whole) is type(none) is type(operation)
    assert torch.equal(whole.make_params(6, generator()), params)
    made = single(whole, dims).apply(view, params)["image"]
    assert torch.equal(made, policy.apply(view, params)["image"]) and not torch.allclose(made, view["image"])
    torch.testing.assert_close(single(none, dims)(view, generator())["image"], view["image"], atol=1e-6, rtol=0)


@each_dims
@each_operation
def test_a_view_changes_more_the_greater_the_strength(name, dims):
    """The mean over samples, from the same generator; smooth images, which small moves change little."""
    rows = 60 if dims == 2 else 24
    view = {"image": smooth_image(rows, (24, 20, 16)[:dims], torch.float32, channels_of(name))}
    changes = [
        (scale_policy(single(operations(dims)[name], dims), strength)(view, generator())["image"] - view["image"])
        .abs()
        .mean()
        .item()
        for strength in (0.0, 0.1, 0.4, 0.7, 1.0)
    ]
    assert changes[0] == 0
    assert all(weaker < stronger for weaker, stronger in zip(changes[1:], changes[2:], strict=False))
    assert changes[1] < 0.3 * changes[-1]


@each_operation
def test_scaling_twice_is_scaling_by_the_product(name):
    operation = operations(2)[name]
    twice, once = operation.scaled(0.5).scaled(0.4), operation.scaled(0.2)
    torch.testing.assert_close(twice.make_params(20, generator()), once.make_params(20, generator()))


@each_operation
def test_a_weaker_operation_touches_no_sample_that_the_stronger_leaves_alone(name):
    operation = sometimes(operations(2)[name])
    strong, weak = (
        (each.make_params(200, generator()) != each.identity).any(dim=1) for each in (operation, operation.scaled(0.5))
    )
    assert not (weak & ~strong).any() and weak.any() and strong.sum() < 200


@each_policy
@pytest.mark.parametrize("size", [None, (16, 24)])
def test_a_policy_at_0_is_its_input_resized(make, size):
    view = photographs(4, 32, 24)
    view["image"] = 900 * view["image"] - 300  # of no particular range
    none = scale_policy(make(size=size), 0)
    made, expected = none(view, generator()), identity_policy(size)(view, generator())
    assert none.columns == 0
    assert all(torch.equal(made[key], expected[key]) for key in view)
    assert size or made["image"] is view["image"]


@each_policy
def test_a_policy_at_1_is_itself(make):
    policy, view = make(size=16), photographs(5, 32, 24)
    whole = scale_policy(policy, 1)
    params = policy.make_params(5, generator())
    assert torch.equal(whole.make_params(5, generator()), params)
    made, expected = whole.apply(view, params), policy.apply(view, params)
    assert all(torch.equal(made[key], expected[key]) for key in view)
    assert whole.padding_mode == policy.padding_mode


def test_magnitudes_at_a_half():
    policy = scale_policy(strong_policy(solarize_probability=0.2), 0.5)
    crop, mirror, jitter, gray, blur, solarize = policy.operations
    assert crop.area == pytest.approx((0.7, 1.0)) and crop.ratio == pytest.approx((0.75**0.5, 0.75**-0.5))
    assert (mirror.axis_probability, gray.probability, solarize.probability) == pytest.approx((0.25, 0.1, 0.1))
    assert isinstance(jitter, OperationGroup) and jitter.probability == 0.8
    brightness, contrast, saturation, hue = jitter.operations
    found = [brightness.low, brightness.high, contrast.low, contrast.high, saturation.low, saturation.high, hue.high]
    assert found == pytest.approx([0.8, 1.2, 0.8, 1.2, 0.9, 1.1, 0.05])
    assert contrast.mean == "gray" and contrast.limits == saturation.limits == (0, 1)
    assert (blur.low, blur.high, blur.probability) == pytest.approx((0.05, 1.0, 0.5))


def test_unit_range_and_limits_stay_whole_above_0():
    names = [type(operation).__name__ for operation in scale_policy(supercl_policy(), 0.01).operations]
    assert names == [type(operation).__name__ for operation in supercl_policy().operations]
    made = scale_policy(supercl_policy(), 0.01)({"image": 40 * noise(3, 1, 16, 16)}, generator())["image"]
    assert made.min() == 0 and made.max() == 1


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), "0.5"])
def test_other_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="strength must be a number from 0 to 1"):
        scale_policy(strong_policy(), strength)


@pytest.mark.parametrize("operation", [BoxCutout(), BoxErasing(), PatchSwapping()])
def test_operations_that_corrupt_have_no_weaker_form(operation):
    with pytest.raises(NotImplementedError, match=type(operation).__name__):
        scale_policy(ViewPolicy([OperationGroup([operation])]), 0.5)
