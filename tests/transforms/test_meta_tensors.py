# SPDX-License-Identifier: Apache-2.0
"""MetaTensors give what plain tensors give, mixed with them too; tensors without values show that nothing is read."""

import numpy as np
import pytest
import torch
from host_to_device import HostToDevice
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, ScaleIntensityd
from operation_cases import channels_of, generator, noise, operations, size_of

from monai_cl_ext import transforms
from monai_cl_ext.transforms import (
    BoxCutout,
    BoxErasing,
    ChannelWise,
    GaussianBlur,
    IntensityOperation,
    PatchSwapping,
    PrepareImage,
    PrepareViews,
    Standardization,
    ViewPolicy,
    basic_policy,
    batched_slic,
    channel_wise_policy,
    crop_policy,
    distorted_policy,
    gcl_finetune_policy,
    gcl_intensity_policy,
    gcl_policy,
    identity_policy,
    moco_policy,
    pcl_policy,
    scale_policy,
    segmentation_policy,
    simclr_policy,
    strong_policy,
    supercl_policy,
    weak_med_policy,
    weak_policy,
)


def strong_crops(size, spatial_dims):
    return crop_policy(strong_policy(size, spatial_dims), size, solarize_probability=0.5)


def distorted(size, spatial_dims):
    return distorted_policy(strong_policy(size, spatial_dims), swaps=2, patch=0.25)


def by_channel(size, spatial_dims):
    return channel_wise_policy(weak_med_policy(size, spatial_dims, color=False), 3)


def half_strong(size, spatial_dims):
    return scale_policy(strong_policy(size, spatial_dims), 0.5)


POLICIES = [
    gcl_policy, gcl_finetune_policy, pcl_policy, segmentation_policy, supercl_policy, strong_policy, weak_policy,
    weak_med_policy,
]  # fmt: skip
POLICIES += [basic_policy, simclr_policy, moco_policy, identity_policy, gcl_intensity_policy]
MADE_OF_OTHERS = {
    "crop_policy": strong_crops, "distorted_policy": distorted, "scale_policy": half_strong,
    "channel_wise_policy": by_channel,
}  # fmt: skip
POLICIES += MADE_OF_OTHERS.values()
each_policy = pytest.mark.parametrize("make", POLICIES, ids=lambda make: make.__name__)
each_dims = pytest.mark.parametrize("dims", [2, 3])


def every_operation(dims: int) -> dict:
    cutouts = {name: BoxCutout(name == "outer", spatial_dims=dims) for name in ("inner", "outer")}
    corrupting = {"erasing": BoxErasing(0.5, dims), "swapping": PatchSwapping(2, 0.25, dims), **cutouts}
    own = {"channel_wise": ChannelWise(GaussianBlur(0.5, 2.0), 1)}
    return operations(dims) | corrupting | own | {"standardization": Standardization([0.5], [0.2])}


def with_meta(tensor: torch.Tensor) -> MetaTensor:
    return MetaTensor(tensor.clone(), affine=torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0])))


def view(dims: int, channels: int = 1, kind=torch.clone) -> dict[str, torch.Tensor]:
    label = torch.randint(5, (4, 1, *size_of(dims)), generator=generator())
    return {"image": kind(noise(4, channels, *size_of(dims))), "label": kind(label), "superpixel": kind(label.int())}


def without_values(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("meta")


@each_dims
@pytest.mark.parametrize("name", sorted(every_operation(2)))
def test_operations_and_their_policies(name, dims):
    operation, channels = every_operation(dims)[name], channels_of(name)
    policy = ViewPolicy([operation], size=12, spatial_dims=dims)
    params = policy.make_params(4, generator())
    expected = policy.apply(view(dims, channels), params)
    for given in (
        view(dims, channels, with_meta),
        view(dims, channels) | {"image": view(dims, channels, with_meta)["image"]},
    ):
        found = policy.apply(given, params)
        assert all(type(found[key]) is torch.Tensor and torch.equal(found[key], expected[key]) for key in expected)
    shapes = {
        key: (map_.shape, map_.dtype)
        for key, map_ in policy.apply(view(dims, channels, without_values), params).items()
    }
    assert shapes == {key: (map_.shape, map_.dtype) for key, map_ in expected.items()}
    if isinstance(operation, IntensityOperation):
        image = view(dims, channels)["image"]
        assert torch.equal(torch.as_tensor(operation.apply(with_meta(image), params)), operation.apply(image, params))


@each_dims
@each_policy
def test_policies(make, dims):
    policy = make(size=12, spatial_dims=dims)
    expected = policy(view(dims, 3), generator())
    found = policy(view(dims, 3, with_meta), generator())
    assert all(type(found[key]) is torch.Tensor and torch.equal(found[key], expected[key]) for key in expected)
    given = view(dims, 3, without_values)
    policy(given, generator())  # weights that follow from the size alone are sent once and kept
    with HostToDevice() as sent:
        made = policy(given, generator())
    assert {key: (map_.shape, map_.dtype) for key, map_ in made.items()} == {
        key: (map_.shape, map_.dtype) for key, map_ in expected.items()
    }
    assert len(sent.seen) == min(1, policy.columns or policy.moves)  # all parameters in one copy


def test_every_policy_is_among_them():
    public = {name for name in transforms.__all__ if name.endswith("_policy")}
    assert public == {make.__name__ for make in POLICIES if make not in MADE_OF_OTHERS.values()} | set(MADE_OF_OTHERS)


def batch(kind=torch.clone) -> dict[str, torch.Tensor]:
    facts = {"volume": torch.arange(4), "position": torch.linspace(0.1, 1, 4), "class": torch.arange(4) % 2}
    return {name: kind(value) for name, value in (view(2) | facts).items()}


@pytest.mark.parametrize("make", [
    lambda: PrepareViews([gcl_policy(), pcl_policy()], made_from=[None, 0]),
    lambda: PrepareViews([gcl_policy()] * 2, superpixels=lambda images: batched_slic(images, n_segments=4)),
    lambda: PrepareImage(identity_policy(), "class"),
], ids=["views", "superpixels", "image"])  # fmt: skip
def test_what_prepares_batches(make):
    def tensors(prepared) -> list[torch.Tensor]:
        if isinstance(prepared, torch.Tensor):
            return [prepared]
        parts = prepared.values() if isinstance(prepared, dict) else prepared
        return [tensor for part in parts for tensor in tensors(part)]

    expected, found = tensors(make()(batch())), tensors(make()(batch(with_meta)))
    mixed = tensors(make()(batch() | {"image": batch(with_meta)["image"]}))
    assert len(expected) == len(found) == len(mixed) > 1
    for one, other, third in zip(expected, found, mixed, strict=True):
        assert type(other) is torch.Tensor and torch.equal(one, other) and torch.equal(one, third)


def test_what_a_monai_loader_gives():
    steps = Compose([EnsureChannelFirstd(["image", "label"], channel_dim="no_channel"), ScaleIntensityd("image")])
    items = [{"image": np.random.default_rng(i).normal(size=(20, 14)), "label": np.ones((20, 14))} for i in range(4)]
    given = next(iter(DataLoader(Dataset(items, steps), batch_size=4)))
    assert isinstance(given["image"], MetaTensor)
    plain = {key: given[key].as_tensor() for key in ("image", "label")}
    for found, expected in zip(*(PrepareViews([gcl_policy()] * 2)(each)[0] for each in (given, plain)), strict=True):
        assert all(type(found[key]) is torch.Tensor and torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_batched_slic(dims):
    images = noise(2, 1, *size_of(dims))
    found = batched_slic(with_meta(images), n_segments=6)
    assert type(found) is torch.Tensor and torch.equal(found, batched_slic(images, n_segments=6))
