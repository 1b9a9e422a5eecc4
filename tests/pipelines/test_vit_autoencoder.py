# SPDX-License-Identifier: Apache-2.0
"""Self-supervised ViT autoencoder: reconstruction of corrupted crops and contrast of two, with our views and loss."""

import pickle

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.networks.nets import ViTAutoEnc
from monai.transforms import (
    Compose,
    CopyItemsd,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    OneOf,
    RandCoarseDropoutd,
    RandCoarseShuffled,
    RandSpatialCropSamplesd,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
)
from nifti_data import write_volumes
from torch.nn import L1Loss

from monai_cl_ext.losses import NTXentLoss
from monai_cl_ext.transforms import RandStrongAugmentd, TwoViewsd, strong_policy

SIDE = 16
VIEWS = ["image_1", "image_2"]


def prepared():
    return [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        Spacingd("image", pixdim=(2.0, 2.0, 2.0), mode="bilinear"),
        ScaleIntensityRanged("image", a_min=0.0, a_max=1.0, b_min=0.0, b_max=1.0, clip=True),
        CropForegroundd("image", source_key="image", allow_smaller=True),
        SpatialPadd("image", spatial_size=[SIDE] * 3),
        RandSpatialCropSamplesd("image", roi_size=[SIDE] * 3, num_samples=2, random_size=False),
    ]


def corrupted(key):
    holes = {"prob": 1.0, "holes": 3, "spatial_size": 4}
    return [
        OneOf([
            RandCoarseDropoutd(key, dropout_holes=True, fill_value=0.0, **holes),
            RandCoarseDropoutd(key, dropout_holes=False, max_holes=5, **holes),
        ]),
        RandCoarseShuffled(key, **holes),
    ]  # fmt: skip


def tutorial(views):
    corruption = [step for key in VIEWS for step in corrupted(key)]
    return Compose([*prepared(), *views, CopyItemsd(VIEWS, names=["gt_1", "gt_2"]), *corruption]).set_random_state(0)


WAYS = {
    "a policy for both": lambda: [TwoViewsd("image", strong_policy(spatial_dims=3, color=False))],
    "a form for each": lambda: [
        CopyItemsd("image", times=2, names=VIEWS),
        *(RandStrongAugmentd(key, spatial_dims=3, color=False) for key in VIEWS),
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_two_steps(tmp_path, way):
    dataset = Dataset(write_volumes(tmp_path, 2), tutorial(WAYS[way]()))
    loader = DataLoader(dataset, batch_size=2, num_workers=0)
    net = ViTAutoEnc(1, [SIDE] * 3, 4, hidden_size=24, mlp_dim=32, num_layers=2, num_heads=2)
    contrast, restore = NTXentLoss(0.05), L1Loss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    for _ in range(2):
        (batch,) = loader
        first, second = (batch[key] for key in VIEWS)
        assert first.shape == (4, 1, SIDE, SIDE, SIDE)  # two crops of two volumes
        outputs = [net(view)[0] for view in (first, second)]
        attraction = contrast(*(output.flatten(1) for output in outputs))
        assert type(attraction) is torch.Tensor and attraction.ndim == 0
        loss = attraction + sum(
            restore(output, batch[key]) for output, key in zip(outputs, ("gt_1", "gt_2"), strict=True)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_views_differ_and_nothing_else_is_changed(tmp_path, way):
    (item,) = write_volumes(tmp_path, 1)
    crops = Compose(prepared()).set_random_state(0)(dict(item))
    for crop, made in zip(crops, tutorial(WAYS[way]())(dict(item)), strict=True):
        assert torch.equal(crop["image"], made["image"]), "views and holes leave the crop alone"
        assert not torch.equal(made["gt_1"], made["gt_2"])
        assert not torch.equal(made["image_1"], made["gt_1"]), "the corruption leaves the target alone"
        for key in ("gt_1", "gt_2"):
            assert np.corrcoef(made[key].flatten(), crop["image"].flatten())[0, 1] < 0.999


@pytest.mark.parametrize("way", WAYS)
def test_what_a_spawned_worker_gets_makes_the_same_views(tmp_path, way):
    items = write_volumes(tmp_path, 1)
    dataset = Dataset(items, tutorial(WAYS[way]()))
    copied = pickle.loads(pickle.dumps(dataset))
    for own, other in zip(dataset[0], copied[0], strict=True):
        assert all(torch.equal(own[key], other[key]) for key in VIEWS)
