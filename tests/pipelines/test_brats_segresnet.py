# SPDX-License-Identifier: Apache-2.0
"""BraTS by a SegResNet: four modalities, three overlapping label channels, a Decathlon datalist."""

import pytest
import torch
from monai.data import DataLoader, Dataset, decollate_batch, load_decathlon_datalist
from monai.losses import DiceLoss
from monai.networks.nets import SegResNet
from monai.transforms import (
    Compose,
    ConvertToMultiChannelBasedOnBratsClassesd,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    RandSpatialCropd,
    Spacingd,
)
from nifti_data import write_brats

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.methods import SimCLR, Supervised
from monai_cl_ext.networks import load_pretrained
from monai_cl_ext.transforms import (
    PrepareViews,
    RandPolicyd,
    identity_policy,
    simclr_policy,
    spatial_part,
    strong_policy,
    weak_med_policy,
    weak_policy,
)

KEYS, MODES = ["image", "label"], ("bilinear", "nearest")
SIDE = 16
POLICIES = {"strong": strong_policy, "weak": weak_policy, "weak_med": weak_med_policy}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return load_decathlon_datalist(write_brats(tmp_path_factory.mktemp("brats") / "task", 2), True, "training")


def transform(*steps):
    return Compose([
        LoadImaged(KEYS),
        EnsureChannelFirstd("image"),
        EnsureTyped(KEYS),
        ConvertToMultiChannelBasedOnBratsClassesd("label"),
        Spacingd(KEYS, pixdim=(1.5, 1.5, 2.0), mode=MODES),
        RandSpatialCropd(KEYS, roi_size=[SIDE] * 3, random_size=False),
        *steps,
    ]).set_random_state(0)  # fmt: skip


def middle(weights):
    """Center of gravity of each map of (B, *S), in voxels."""
    places = torch.stack(torch.meshgrid(*map(torch.arange, weights.shape[1:]), indexing="ij")).float().flatten(1)
    weights = weights.float().flatten(1)
    return weights / weights.sum(1, keepdim=True) @ places.T


def form(policy):
    return RandPolicyd(KEYS, policy, mode=MODES)


NORMALIZED = NormalizeIntensityd("image", nonzero=True, channel_wise=True)


def segresnet():
    return SegResNet(3, 8, 4, 3, blocks_down=(1, 1), blocks_up=(1,))


def test_pretraining_and_training(volumes):
    torch.manual_seed(0)
    steps = transform(NORMALIZED, form(weak_policy(SIDE, 3, color=False, limits=None)))
    loader = DataLoader(Dataset(volumes, steps), batch_size=2)
    source = SimCLR(segresnet())
    optimizer = torch.optim.SGD([each for each in source.parameters() if each.requires_grad], lr=0.1)
    views = PrepareViews([simclr_policy(SIDE, 3, color=False, limits=None)] * 2)
    MethodTrainer("cpu", 2, loader, source, optimizer, views).run()
    net = segresnet()
    assert load_pretrained(net, source.predictor.state_dict(), part="encoder").fraction == 1
    method, lost = Supervised(net, DiceLoss(smooth_nr=0, squared_pred=True, sigmoid=True)), []
    trainer = MethodTrainer(
        "cpu", 2, loader, method, torch.optim.Adam(method.parameters(), lr=0.01),
        PrepareViews([identity_policy(spatial_dims=3)]),
    )  # fmt: skip
    trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: lost.append(engine.state.output[0]["loss"].item()))
    trainer.run()
    assert trainer.state.views[0]["label"].shape == (2, 3, SIDE, SIDE, SIDE)
    assert len(lost) == 2 and all(0 < loss <= 1 for loss in lost)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_takes_four_channels_that_leave_the_unit_range(volumes, name):
    policy = POLICIES[name](SIDE, 3, color=False, limits=None)
    plain, made = transform(NORMALIZED)(dict(volumes[0])), transform(NORMALIZED, form(policy))(dict(volumes[0]))
    assert made["image"].shape == (4, SIDE, SIDE, SIDE) and made["label"].shape == (3, SIDE, SIDE, SIDE)
    assert made["image"].isfinite().all() and not torch.equal(made["image"], plain["image"])
    assert made["image"].amax() > 1 and made["image"].amin() < 0, "nothing is clipped to the unit range"
    assert set(made["label"].float().unique().tolist()) == {0, 1} and made["label"].dtype == plain["label"].dtype


@pytest.mark.parametrize("where", ["in the loader", "on the batch"])
def test_all_channels_and_labels_move_as_one(volumes, where):
    """Labels are tumor core (1 and 4), whole tumor (all) and enhancing tumor (4); images show all, 2 and 4."""
    policy = spatial_part(weak_policy(SIDE, 3, crop=(0.7, 1.0), color=False))
    steps = Compose([*transform().transforms[:-1], *([form(policy)] if where == "in the loader" else [])])
    (batch,) = DataLoader(Dataset(volumes, steps), batch_size=2)
    views = PrepareViews([policy if where == "on the batch" else identity_policy(spatial_dims=3)])
    (view,), *_ = views(batch)
    # in voxels; the nearest voxel is up to half of one away along each axis
    core, whole, enhancing = view["label"].bool().unbind(1)
    for channel, part in ((0, whole), (1, whole & ~core), (2, enhancing)):
        shown = (view["image"][:, channel] - 0.15).clamp(min=0)
        assert part.flatten(1).any(1).all() and ((middle(shown) - middle(part)).norm(dim=1) < 1).all()


def test_a_view_of_a_batch_can_be_taken_apart_and_inverted(volumes):
    policy = spatial_part(weak_policy(SIDE, 3, color=False))
    step = form(policy)
    (batch,) = DataLoader(Dataset(volumes, transform(step)), batch_size=2)
    for item in decollate_batch(batch):
        back = step.inverse(item)
        assert back["image"].shape == (4, SIDE, SIDE, SIDE) and back["label"].shape == (3, SIDE, SIDE, SIDE)
