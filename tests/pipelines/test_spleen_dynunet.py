# SPDX-License-Identifier: Apache-2.0
"""Spleen segmentation by a 3D DynUNet: our policy among MONAI's transforms, our pre-trained start, MONAI's datasets."""

import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset, ThreadDataLoader, decollate_batch
from monai.data.utils import pickle_hashing
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    RandCropByPosNegLabeld,
    ScaleIntensityRanged,
    Spacingd,
)
from nifti_data import SIZE, write_volumes

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.handlers import EpochSeed, SaveWeights
from monai_cl_ext.methods import SimCLR, Supervised
from monai_cl_ext.networks import load_pretrained
from monai_cl_ext.transforms import (
    PrepareViews,
    RandPolicyd,
    Superpixeld,
    identity_policy,
    simclr_policy,
    spatial_part,
    weak_policy,
)

KEYS, MODES = ["image", "label"], ("bilinear", "nearest")
SIDE = 16
OVERRIDES = {"label": {"mode": "nearest"}}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_volumes(tmp_path_factory.mktemp("spleen"), 2)


def prepared(keys=KEYS):
    return [
        LoadImaged(keys),
        EnsureChannelFirstd(keys),
        ScaleIntensityRanged("image", a_min=0.0, a_max=1.0, b_min=0.0, b_max=1.0, clip=True),
        CropForegroundd(keys, source_key="image", allow_smaller=True),
        Orientationd(keys, axcodes="LPS", labels=None),
        Spacingd(keys, pixdim=(1.5, 1.5, 2.0), mode=MODES[: len(keys)]),
    ]


def transform(policy=None, lazy=False):
    """The tutorial's training transforms, with our policy behind its crop."""
    policy = policy or weak_policy(SIDE, 3, color=False)
    crop = RandCropByPosNegLabeld(KEYS, label_key="label", spatial_size=[SIDE] * 3, pos=1, neg=1, num_samples=2)
    form = RandPolicyd(KEYS, policy, mode=MODES)
    return Compose([*prepared(), crop, form], lazy=lazy, overrides=OVERRIDES if lazy else None).set_random_state(0)


def dyn_unet(heads=0, classes=2):
    return DynUNet(
        3, 1, classes, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=(4, 6, 8, 10),
        deep_supervision=heads > 0, deep_supr_num=max(heads, 1),
    )  # fmt: skip


def test_pretraining_training_and_inference(volumes, tmp_path):
    torch.manual_seed(0)
    loader = DataLoader(Dataset(volumes, transform()), batch_size=2)
    policies = [simclr_policy(SIDE, 3, color=False)] * 2
    source = SimCLR(dyn_unet())
    optimizer = torch.optim.SGD([each for each in source.parameters() if each.requires_grad], lr=0.1)
    save = SaveWeights(source.predictor, str(tmp_path / "model_pretrain.pt"))
    MethodTrainer("cpu", 2, loader, source, optimizer, PrepareViews(policies), train_handlers=[save]).run()

    net = dyn_unet(heads=2)
    load_pretrained(net, tmp_path / "model_pretrain.pt", part="encoder")
    assert torch.equal(net.bottleneck.conv1.conv.weight, source.predictor.bottleneck.conv1.conv.weight)
    method = Supervised(net, DiceCELoss(to_onehot_y=True, softmax=True))
    views, lost = PrepareViews([identity_policy(spatial_dims=3)]), []
    trainer = MethodTrainer("cpu", 2, loader, method, torch.optim.SGD(method.parameters(), lr=0.1), views)
    trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: lost.append(engine.state.output[0]["loss"].item()))
    trainer.run()
    assert len(lost) == 2 and all(0 < loss < 10 for loss in lost)

    checked = Compose(prepared(["image"]))
    (batch,) = DataLoader(Dataset(volumes[:1], checked), batch_size=1)
    with torch.no_grad():
        batch["pred"] = sliding_window_inference(batch["image"], [SIDE] * 3, 2, method.predictor.eval())
    invert = Invertd("pred", transform=checked, orig_keys="image", nearest_interp=False)
    (case,) = (invert(item) for item in decollate_batch(batch))
    assert case["pred"].shape == (2, *SIZE)


@pytest.mark.parametrize("lazy", [False, True])
def test_label_and_image_stay_aligned(volumes, lazy):
    """The image is 1 where the label is; only voxels beside its surface may differ after interpolation."""
    policy = spatial_part(weak_policy(SIDE, 3, crop=(0.3, 0.6), color=False))
    for item in volumes:
        for crop in transform(policy, lazy)(dict(item)):
            assert set(crop["label"].unique().tolist()) <= {0, 1}
            wrong = ((crop["image"] > 0.5) != (crop["label"] > 0.5)).float().mean()
            assert wrong < 0.05 < crop["label"].float().mean()


@pytest.mark.parametrize("extra", [[], [Superpixeld("image", 20, backend="torch")]])
def test_a_lazy_compose_gives_what_an_eager_one_gives(volumes, extra):
    """MONAI carries out what is pending before a transform that is not lazy, such as ours."""

    def made(lazy):
        form = RandPolicyd(KEYS, weak_policy(SIDE, 3, color=False), mode=MODES)
        steps = [LoadImaged(KEYS), EnsureChannelFirstd(KEYS), prepared()[-1], *extra, form]
        return Compose(steps, lazy=lazy, overrides=OVERRIDES if lazy else None).set_random_state(0)(dict(volumes[0]))

    eager, lazy = made(False), made(True)
    assert eager.keys() == lazy.keys()
    for key in KEYS + ["superpixel"] * len(extra):
        torch.testing.assert_close(lazy[key].as_tensor(), eager[key].as_tensor(), atol=1e-5, rtol=0)
        torch.testing.assert_close(lazy[key].affine, eager[key].affine)
        assert not lazy[key].pending_operations


def test_labels_that_lazy_resampling_interpolated_are_refused(volumes):
    steps = [LoadImaged(KEYS), EnsureChannelFirstd(KEYS), prepared()[-1]]
    (batch,) = DataLoader(Dataset(volumes[:1], Compose(steps, lazy=True)), batch_size=1)
    with pytest.raises(ValueError, match="label: expected class numbers, found 0.*overrides"):
        PrepareViews([identity_policy(spatial_dims=3)])(batch)
    (batch,) = DataLoader(Dataset(volumes[:1], Compose(steps, lazy=True, overrides=OVERRIDES)), batch_size=1)
    (view,), *_ = PrepareViews([identity_policy(spatial_dims=3)])(batch)
    assert view["label"].unique().tolist() == [0, 1]


@pytest.mark.parametrize("copies", [True, False])
def test_cached_items_are_drawn_anew_and_stay_as_they_are(volumes, copies):
    form = RandPolicyd(KEYS, weak_policy(SIDE, 3, color=False), mode=MODES)
    dataset = CacheDataset(volumes, Compose([*prepared(), form]), copy_cache=copies, progress=False)
    cached = [{key: item[key].clone() for key in KEYS} for item in dataset._cache]
    records = [len(item["image"].applied_operations) for item in dataset._cache]
    first, second = dataset[0], dataset[0]
    assert not torch.equal(first["image"], second["image"])
    assert all(torch.equal(old[key], new[key]) for old, new in zip(cached, dataset._cache, strict=True) for key in KEYS)
    assert records == [len(item["image"].applied_operations) for item in dataset._cache]


@pytest.mark.parametrize("track", [True, False])
@pytest.mark.filterwarnings("error:Corrupt cache")
def test_a_persistent_cache_keeps_what_is_deterministic(volumes, tmp_path, track):
    def dataset(segments):
        steps = [*prepared(), Superpixeld("image", segments, backend="torch")]
        form = RandPolicyd([*KEYS, "superpixel"], weak_policy(SIDE, 3, color=False), mode=[*MODES, "nearest"])
        return PersistentDataset(
            volumes, Compose([*steps, form]), tmp_path, hash_transform=pickle_hashing,
            track_meta=track, weights_only=not track,  # MONAI's metadata hold arrays, which torch would not read
        )  # fmt: skip

    data = dataset(10)
    data[0]  # writes the cache
    first, second = data[0], data[0]
    assert len(list(tmp_path.iterdir())) == 1 and not torch.equal(first["image"], second["image"])
    assert second["image"].shape == (1, SIDE, SIDE, SIDE) and second["superpixel"].max() < 20
    dataset(10)[0]
    assert len(list(tmp_path.iterdir())) == 1, "the same steps, made anew, have the same cache"
    assert dataset(80)[0]["superpixel"].max() > 20 and len(list(tmp_path.iterdir())) == 2


def test_a_thread_that_reads_ahead_gives_the_batches_of_each_epoch(volumes):
    """Epochs draw different batches, and a run repeats them: the loader's thread must not read before set_epoch."""

    def seen(kind):
        torch.manual_seed(0)
        dataset = CacheDataset(volumes * 4, Compose(prepared()[:2]), progress=False)
        loader = kind(dataset, batch_size=2, shuffle=True, num_workers=0)
        method, found = SimCLR(dyn_unet()), []
        views = PrepareViews([simclr_policy(SIDE, 3, color=False)] * 2, seed=3)
        trainer = MethodTrainer(
            "cpu", 2, loader, method, torch.optim.SGD(method.head.parameters(), lr=0.1), views,
            train_handlers=[EpochSeed(5, [views])],
        )  # fmt: skip
        trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: found.append(engine.state.views[1]["image"]))
        trainer.run()
        return torch.stack(found)

    plain = seen(DataLoader)
    assert torch.equal(seen(ThreadDataLoader), plain) and not torch.equal(plain[:4], plain[4:])
