# SPDX-License-Identifier: Apache-2.0
"""Images of several channels: one draw for all of them by default, one for each where it is asked for."""

import pytest
import torch
from operation_cases import generator, noise, operations, size_of

from monai_cl_ext.transforms import (
    BoxCutout,
    ChannelWise,
    ClampIntensity,
    Contrast,
    Grayscale,
    IntensityOperation,
    IntensityShift,
    Mirror,
    OneOperation,
    OperationGroup,
    PrepareViews,
    Rotation,
    Saturation,
    ViewPolicy,
    channel_wise_policy,
    scale_policy,
    segmentation_policy,
    strong_policy,
    weak_med_policy,
)

CHANNELS = 4
NAMES = ["bias_field", "blur", "contrast", "intensity_scaling", "noise", "shift", "solarization"]
each_name = pytest.mark.parametrize("name", NAMES)
each_dims = pytest.mark.parametrize("dims", [2, 3])


def alike(rows: int, *size: int) -> torch.Tensor:
    """Images whose channels are equal, so that what differs afterwards was drawn for each."""
    return noise(rows, 1, *size).repeat(1, CHANNELS, *[1] * len(size))


def spread(image: torch.Tensor) -> torch.Tensor:
    """How far the channels of each sample lie apart."""
    return (image - image[:, :1]).abs().flatten(1).amax(dim=1)


def test_the_operations_that_may_differ_between_channels_are_these():
    found = {name for name, each in operations(2).items() if getattr(each, "by_channel", False)}
    assert found == set(NAMES)
    assert not any(kind.by_channel for kind in (ClampIntensity, BoxCutout, OneOperation, Grayscale, Saturation))


@each_dims
@each_name
def test_channels_share_a_draw_and_get_their_own_where_asked(name, dims):
    operation, image = operations(dims)[name], alike(6, *size_of(dims))
    shared = operation.apply(image, operation.make_params(6, generator()))
    if name == "noise":  # independent in each channel, of one strength
        steps = (shared - image).flatten(2).std(dim=2)
        torch.testing.assert_close(steps, steps.mean(dim=1, keepdim=True).expand_as(steps), rtol=0.15, atol=0)
    else:
        assert spread(shared).max() == 0
    own = ChannelWise(operation, CHANNELS)
    params = own.make_params(6, generator())
    assert params.shape == (6, CHANNELS * operation.columns)
    made = own.apply(image, params)
    assert made.shape == image.shape
    if name != "solarization":  # its threshold is no draw
        assert (spread(made) > 1e-3).all()
    drawn = params.reshape(6, CHANNELS, -1)
    for channel in range(CHANNELS):
        alone = operation.apply(image[:, channel : channel + 1], drawn[:, channel])
        torch.testing.assert_close(made[:, channel : channel + 1], alone)


@each_name
def test_a_sample_is_augmented_in_all_channels_or_in_none(name):
    operation = operations(2)[name]
    own = ChannelWise(type(operation)(0.5, 0.5) if name == "solarization" else operation, CHANNELS)
    own.probability = 0.5
    image = alike(40, *size_of(2))
    changed = (own.apply(image, own.make_params(40, generator())) - image).abs().flatten(2).amax(dim=2) > 1e-5
    assert torch.equal(changed, changed[:, :1].expand_as(changed)) and 0 < changed[:, 0].sum() < 40


@each_name
def test_one_channel_is_the_operation_itself(name):
    operation, image = operations(2)[name], noise(5, 1, *size_of(2))
    own = ChannelWise(operation, 1)
    params = operation.make_params(5, generator())
    assert torch.equal(own.make_params(5, generator()), params)
    assert torch.equal(own.apply(image, params), operation.apply(image, params))


@each_dims
@pytest.mark.parametrize("make", [segmentation_policy, strong_policy, weak_med_policy])
def test_a_policy_by_channel_moves_all_channels_alike(make, dims):
    arguments = {} if make is segmentation_policy else {"color": False, "limits": None}
    policy = channel_wise_policy(make(spatial_dims=dims, **arguments), CHANNELS)
    image = alike(8, *size_of(dims))
    label = (image[:, :1] > 0.5).float()
    made = policy({"image": image, "label": label}, generator())
    assert made["image"].shape[1] == CHANNELS and made["label"].shape[1] == 1
    assert (spread(made["image"]) > 1e-3).double().mean() > 0.5
    moving = [each for each in policy.operations if not isinstance(each, (IntensityOperation, OperationGroup))]
    moved = policy.with_operations(moving)({"image": image}, generator())["image"]
    assert spread(moved).max() == 0


def test_groups_and_choices_are_followed_into_and_colors_places_and_ranges_stay():
    kinds = OneOperation([IntensityShift(-1.0, 1.0), BoxCutout()], [0.5, 0.5])
    group = OperationGroup([Rotation(20.0), Contrast(0.5, 1.5)], 0.7)
    policy = ViewPolicy([Mirror(0), group, kinds, Saturation(0.5, 1.5), ClampIntensity(0, 1)], 16)
    mirror, inner, choice, saturation, clamp = channel_wise_policy(policy, CHANNELS).operations
    assert [type(each) for each in inner.operations] == [Rotation, ChannelWise] and inner.probability == 0.7
    assert [type(each) for each in choice.operations] == [ChannelWise, BoxCutout]
    assert choice.probabilities == [0.5, 0.5]
    assert (mirror, saturation, clamp) == (policy.operations[0], policy.operations[3], policy.operations[4])
    image = noise(6, CHANNELS, 16, 16)
    assert channel_wise_policy(policy, CHANNELS)({"image": image}, generator())["image"].shape == image.shape


def test_the_strength_of_a_policy_scales_each_channel():
    policy = channel_wise_policy(ViewPolicy([IntensityShift(-1.0, 1.0)]), CHANNELS)
    image = torch.zeros(9, CHANNELS, 4, 4)
    full, half = (scale_policy(policy, strength)({"image": image}, generator())["image"] for strength in (1.0, 0.5))
    torch.testing.assert_close(half, full / 2)
    assert (spread(full) > 0).all()


def test_views_are_prepared_by_channel_where_asked():
    batch = {"image": alike(6, 12, 12)}
    policies = [strong_policy(color=False, limits=None)] * 2
    for channel_wise in (False, True):
        prepare = PrepareViews(policies, channel_wise=channel_wise)
        for _ in range(2):
            for view in prepare(batch)[0]:
                apart = spread(view["image"]) > 1e-4
                assert apart.any() if channel_wise else not apart.any()


def test_contrast_without_colors_is_about_the_mean_of_each_channel():
    """Of three channels too, which are red, green and blue only where a policy is told so."""
    (group,) = [each for each in strong_policy(color=False).operations if isinstance(each, OperationGroup)]
    assert [each.mean for each in group.operations if isinstance(each, Contrast)] == ["channel"]
    (group,) = [each for each in strong_policy(color=True).operations if isinstance(each, OperationGroup)]
    assert [each.mean for each in group.operations if isinstance(each, Contrast)] == ["gray"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match="may differ between channels"):
        ChannelWise(Saturation(0.5, 1.5), 3)
    with pytest.raises(ValueError, match="channels must be an integer"):
        ChannelWise(IntensityShift(0, 1), 0)
    with pytest.raises(ValueError, match=r"4 channel\(s\), found an image batch of shape \(2, 3, 8, 8\)"):
        ChannelWise(IntensityShift(0, 1), 4).apply(noise(2, 3, 8, 8), torch.zeros(2, 4))
