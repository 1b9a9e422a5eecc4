# SPDX-License-Identifier: Apache-2.0
"""The strong and weak policies: the papers' numbers, what may be forbidden, and ranges of intensities."""

import inspect
import warnings

import pytest
import torch
from operation_cases import generator, noise

from monai_cl_ext.transforms import (
    AdditiveNoise,
    AreaCropResize,
    ClampIntensity,
    GaussianBlur,
    Grayscale,
    Mirror,
    OperationGroup,
    PolynomialBiasField,
    Rotation,
    Solarization,
    ViewPolicy,
    basic_policy,
    color_jitter,
    gcl_finetune_policy,
    gcl_intensity_policy,
    gcl_policy,
    identity_policy,
    moco_policy,
    pcl_policy,
    segmentation_policy,
    simclr_policy,
    strong_policy,
    supercl_policy,
    weak_med_policy,
    weak_policy,
)
from monai_cl_ext.transforms.operations import intensity_range

CLIPPING = [strong_policy, weak_policy, weak_med_policy, simclr_policy, moco_policy]
POLICIES = [*CLIPPING, basic_policy]
OTHERS = [
    gcl_policy, gcl_intensity_policy, gcl_finetune_policy, pcl_policy, segmentation_policy, supercl_policy,
    identity_policy,
]  # fmt: skip
COLORED = [strong_policy, weak_policy, weak_med_policy, simclr_policy, moco_policy]
each_policy = pytest.mark.parametrize("make", POLICIES, ids=lambda make: make.__name__)
each_colored = pytest.mark.parametrize("make", COLORED, ids=lambda make: make.__name__)


def kinds(policy: ViewPolicy) -> list[type]:
    return [type(operation) for operation in policy.operations]


def jitter(policy: ViewPolicy) -> list[tuple[float, float]]:
    (group,) = (operation for operation in policy.operations if isinstance(operation, OperationGroup))
    return [pytest.approx((operation.low, operation.high)) for operation in group.operations]


def test_strong_is_dino_s_recipe():
    policy = strong_policy(blur_probability=1.0, solarize_probability=0.2)
    assert kinds(policy) == [AreaCropResize, Mirror, OperationGroup, Grayscale, GaussianBlur, Solarization]
    crop, mirror, group, gray, blur, solarize = policy.operations
    assert crop.area == (0.4, 1.0) and crop.ratio == (3 / 4, 4 / 3)
    assert mirror.axes == (1,) and mirror.axis_probability == 0.5
    assert group.probability == 0.8 and jitter(policy) == [(0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1)]
    assert (gray.probability, blur.probability, solarize.probability) == (0.2, 1.0, 0.2)
    assert (blur.low, blur.high, solarize.threshold) == (0.1, 2.0, 0.5)


def test_weak_differs_from_strong_by_crop_brightness_and_contrast_alone():
    assert weak_policy().operations[0].area == (0.5, 1.0)
    assert jitter(weak_policy()) == [(0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1)]
    (jittered,) = color_jitter()
    same, strong = weak_policy(crop=(0.4, 1.0)).replace(jittered.operations[0], jittered.operations[1]), strong_policy()
    view, params = {"image": noise(6, 3, 32, 24)}, strong.make_params(6, generator())
    assert torch.equal(same.make_params(6, generator()), params)
    assert torch.equal(same.apply(view, params)["image"], strong.apply(view, params)["image"])


def test_weak_med_is_weak_with_artifacts():
    weak, policy = weak_policy(), weak_med_policy()
    artifacts = [PolynomialBiasField, GaussianBlur, AdditiveNoise]
    assert kinds(policy) == [*kinds(weak), *artifacts, ClampIntensity]
    bias, blur, grain, limits = policy.operations[-4:]
    assert (bias.low, bias.high, bias.degree) == (0.0, 0.1, 3)
    assert (blur.low, blur.high, grain.low, grain.high) == (0.0, 0.1, 0.0, 0.1)
    assert {each.probability for each in (bias, blur, grain)} == {0.5}
    assert (limits.low, limits.high) == (0.0, 1.0)
    local = weak_med_policy(size=96, crop=(0.2, 0.5), color=False, limits=None)
    assert local.size == (96, 96) and local.operations[0].area == (0.2, 0.5) and len(jitter(local)) == 2
    assert kinds(local)[-1] is AdditiveNoise and Grayscale not in kinds(local)


def test_simclr_moco_and_basic():
    policy = simclr_policy()
    assert kinds(policy) == [AreaCropResize, Mirror, OperationGroup, Grayscale, GaussianBlur]
    assert policy.operations[0].area == (0.08, 1.0)
    assert jitter(policy) == [(0.2, 1.8), (0.2, 1.8), (0.2, 1.8), (-0.2, 0.2)]
    moco = moco_policy()
    assert kinds(moco) == kinds(policy) and moco.operations[0].area == (0.2, 1.0)
    assert jitter(moco) == [(0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1)]
    rotation, mirror = basic_policy().operations
    assert isinstance(rotation, Rotation) and rotation.degrees.tolist() == [30] and rotation.probability == 0.5
    assert isinstance(mirror, Mirror) and mirror.axis_probability == 0.5


@each_colored
def test_dino_s_own_blur_can_be_left_out(make):
    own = {GaussianBlur, Solarization}
    left = kinds(make(blur_probability=0))
    assert not own & set(left) or make is weak_med_policy and left.count(GaussianBlur) == 1
    assert own <= set(kinds(make(solarize_probability=0.2)))


@each_policy
def test_flips_can_be_forbidden_and_lie_along_the_axis_given(make):
    assert Mirror not in kinds(make(mirror_probability=0))
    (mirror,) = (each for each in make(mirror_axis=0, spatial_dims=3).operations if isinstance(each, Mirror))
    assert mirror.axes == (0,)


@each_colored
def test_photographs_stay_in_0_to_1_and_volumes_are_not_clipped_without_limits(make):
    image = noise(60, 3, 24, 24)
    made = make(solarize_probability=0.2)({"image": image}, generator())["image"]
    assert made.min() >= 0 and made.max() <= 1 and made.isfinite().all()
    volume = 400 * image[:, :1] - 200
    free = make(limits=None, color=False)({"image": volume}, generator())["image"]
    assert free.min() < -100 and free.max() > 100


@each_policy
@pytest.mark.parametrize("dims", [2, 3])
def test_colors_can_be_left_out_for_images_of_one_channel(make, dims):
    colorless = {} if make is basic_policy else {"color": False}
    view = {"image": noise(4, 1, *(20, 14, 12)[:dims]), "label": torch.ones(4, 1, *(20, 14, 12)[:dims]).byte()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = make(8, dims, **colorless)(view, generator())
    assert made["image"].shape == made["label"].shape == (4, 1, *[8] * dims)
    assert not torch.equal(made["image"][0], made["image"][1])


@each_colored
def test_crops_bring_no_border_into_the_view(make):
    """An image without black stays without, but for what the jitter darkens."""
    image = torch.full((40, 3, 37, 29), 0.5)
    darkening = (OperationGroup, PolynomialBiasField, AdditiveNoise)
    whole = make(size=16)
    policy = whole.with_operations([each for each in whole.operations if not isinstance(each, darkening)])
    view = {"image": image, "label": torch.ones(40, 1, 37, 29, dtype=torch.uint8)}
    made = policy(view, generator())
    assert made["image"].min() > 0.49 and made["label"].min() == 1


def test_the_corners_of_a_rotated_image_hold_what_is_asked_for():
    image = torch.ones(20, 1, 24, 24)
    assert basic_policy()({"image": image}, generator())["image"].min() == 0
    assert basic_policy(padding_mode="border")({"image": image}, generator())["image"].min() > 1 - 1e-5


@pytest.mark.parametrize("make", [*POLICIES, *OTHERS], ids=lambda make: make.__name__)
def test_every_argument_has_a_default_and_others_are_refused(make):
    empty = inspect.Parameter.empty
    parameters = inspect.signature(make).parameters.values()
    assert all(each.default is not empty for each in parameters)
    assert len(parameters) <= 9 and [each.name for each in parameters][:2] == ["size", "spatial_dims"]
    with pytest.raises(TypeError, match="mirror_axes"):
        make(mirror_axes=0)


@pytest.mark.parametrize("make", [*CLIPPING, gcl_policy, gcl_intensity_policy])
def test_images_that_clipping_destroys_are_warned_of_once(make, monkeypatch):
    monkeypatch.setattr(intensity_range, "_warned", set())
    color = {"color": False} if make in CLIPPING else {}
    policy, gray = make(**color), noise(2, 1, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy({"image": 1.06 * gray - 0.03}, generator())  # what percentiles leave
    with pytest.warns(UserWarning, match=r"from 0\.?\d* to 25\d\S* are clipped to \[0, 1.*scale them") as found:
        for _ in range(2):
            policy({"image": 255 * gray}, generator())
    assert len(found) == 1
    monkeypatch.setattr(intensity_range, "_warned", set())
    with pytest.warns(UserWarning, match="are clipped to"):
        policy({"image": (gray - 0.5) / 0.3}, generator())


def test_policies_that_clip_nothing_take_any_image(monkeypatch):
    monkeypatch.setattr(intensity_range, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for policy in strong_policy(color=False, limits=None), gcl_policy(maximum=None), supercl_policy():
            policy({"image": 255 * noise(2, 1, 16, 16)}, generator())
