# SPDX-License-Identifier: Apache-2.0
"""Every loss, method and sampler takes what MONAI's loader and networks give, which are MetaTensors."""

import pytest
import torch
from every_loss import CALLS
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet, SegResNet
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, ResizeWithPadOrCropd, SqueezeDimd
from nifti_data import write_volumes
from torch.utils.data import default_convert

from monai_cl_ext import data, losses, methods
from monai_cl_ext.data import NeighborBatchSampler, PartitionBatchSampler, SliceBatchSampler, TwoStreamBatchSampler
from monai_cl_ext.losses import DeSDLoss, DINOLoss, MaskedDiceCELoss, SwAVLoss
from monai_cl_ext.networks import (
    DeformationGenerator,
    DINOHead,
    Evaluator,
    IntensityGenerator,
    image_discriminator,
    patch_discriminator,
)
from monai_cl_ext.transforms import PrepareViews, Superpixeld, TwoViewsd, simclr_policy, spatial_part

WITHOUT_GRADIENT = {"nearest_neighbor_components", "sinkhorn"}
KEYS, MODES, SIDE, COUNT = ["image", "label"], ("bilinear", "nearest"), 32, 6


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Items of a MONAI dataset, with the facts that losses ask for as a user would write them."""
    items = write_volumes(tmp_path_factory.mktemp("loader"), COUNT)
    tags = [{f"{name} {place}": tag[row] for name, call in CALLS.items() for place, tag in enumerate(call.tags)}
            for row in range(COUNT)]  # fmt: skip
    facts = [{"volume": row // 2, "position": (row + 1) / COUNT, "partition": row % 2, "class": row % 2}
             for row in range(COUNT)]  # fmt: skip
    return [{**item, **fact, **tag} for item, fact, tag in zip(items, facts, tags, strict=True)]


@pytest.fixture(scope="module")
def batch(volumes):
    """One batch of slices with superpixels, and two views of each, made in the loader."""
    keys = [*KEYS, "superpixel"]
    steps = [
        LoadImaged(KEYS),
        EnsureChannelFirstd(KEYS),
        ResizeWithPadOrCropd(KEYS, (SIDE, SIDE, 1)),
        SqueezeDimd(KEYS, dim=-1, update_meta=False),
        Superpixeld("image", 8, backend="torch"),
        TwoViewsd(keys, spatial_part(simclr_policy()), mode=(*MODES, "nearest")),
    ]
    loader = DataLoader(Dataset(volumes, Compose(steps).set_random_state(0)), batch_size=COUNT)
    (found,) = loader
    assert all(type(found[key]) is MetaTensor for key in (*keys, "image_1", "superpixel_2"))
    return found


def meta(value):
    return value if isinstance(value, MetaTensor) else MetaTensor(value)


def plain(value):
    return value.as_tensor() if isinstance(value, MetaTensor) else value


@pytest.mark.parametrize("name", CALLS)
def test_every_loss_of_what_a_network_gives(batch, name):
    """Tags come through the loader, embeddings and maps from a network that was given a MetaTensor."""
    call = CALLS[name]
    tags = [batch[f"{name} {place}"] for place in range(len(call.tags))]
    assert all(torch.equal(found.to(tag.dtype), tag) for found, tag in zip(tags, call.tags, strict=True))

    def result(kind):
        torch.manual_seed(0)
        net = SegResNet(2, 8, 1, 5, blocks_down=(1, 1), blocks_up=(1,))
        maps = [net(kind(batch["image"] + 0.1 * torch.randn_like(batch["image"]))) for _ in call.views]
        views = [each[:, :3, :9, :9] if call.views[0].ndim == 4 else each.mean((2, 3)) for each in maps]
        views = [view.reshape(own.shape) for view, own in zip(views, call.views, strict=True)]
        value = call.on("cpu")(*views, *map(kind, tags))
        if value.requires_grad:
            value.backward()
        return views, value, [parameter.grad for parameter in net.parameters()]

    views, value, gradients = result(meta)
    assert all(type(view) is MetaTensor for view in views)
    assert type(value) is torch.Tensor and value.isfinite().all()
    _, expected, wanted = result(plain)
    assert torch.equal(value, expected)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(gradients, wanted, strict=True))
    assert any(grad is not None for grad in gradients) == (name not in WITHOUT_GRADIENT)


def test_every_public_loss_is_among_them():
    assert {name for name in losses.__all__ if name.endswith("Loss")} <= {name.split()[0] for name in CALLS}


def network(seed=0):
    torch.manual_seed(seed)
    return BasicUNet(2, 1, 2, features=(4, 8, 8, 8, 8, 4), norm="batch")


LABELED = DiceCELoss(to_onehot_y=True, softmax=True)


def supervised():
    return methods.Supervised(network(), LABELED)


SOFT = DiceCELoss(softmax=True)


METHODS = {
    "AugmentedTraining": lambda: methods.AugmentedTraining(
        methods.Supervised(network(), SOFT), DeformationGenerator(SIDE), IntensityGenerator(SIDE), 2
    ),
    "BCP": lambda: methods.BCP(network(), MaskedDiceCELoss(), 3, warm_up_steps=0),
    "BYOL": lambda: methods.BYOL(network(), 8, 8),
    "CauSSL": lambda: methods.CauSSL(network(), network(1), LABELED, 2, begin=0, every=1),
    "CrossPseudoSupervision": lambda: methods.CrossPseudoSupervision(network(), network(1), LABELED, 2),
    "DAN": lambda: methods.DAN(network(), LABELED, 2, methods.Adversary(Evaluator(2, width=4))),
    "DTC": lambda: methods.DTC(network(), LABELED, 2),
    "DINO": lambda: methods.DINO(network(), lambda width: DINOHead(width, 16, 8, 8), DINOLoss(16)),
    "DeSD": lambda: methods.DeSD(network(), lambda width: DINOHead(width, 16, 8, 8), DeSDLoss(16)),
    "SwAV": lambda: methods.SwAV(network(), SwAVLoss(), 8, 8, 8, queue_size=12),
    "DiRA": lambda: methods.DiRA(
        methods.MoCo(network(), queue_size=8), methods.Adversary(patch_discriminator(width=4))
    ),
    "PCL": lambda: methods.PCL(network()),
    "WCL": lambda: methods.WCL(network()),
    "EMASelfTraining": lambda: methods.EMASelfTraining(network(), LABELED, 2, warm_up_steps=0),
    "GCLGlobal": lambda: methods.GCLGlobal(network(), "gr", SIDE, hidden=8, features=8),
    "GCLLocal": lambda: methods.GCLLocal(network(), blocks=3, regions=9, features=8),
    "LearnedAugmentation": lambda: methods.LearnedAugmentation(
        network(), SOFT, 2, DeformationGenerator(SIDE), methods.Adversary(image_discriminator(SIDE))
    ),
    "MeanTeacher": lambda: methods.MeanTeacher(network(), LABELED, 2),
    "MoCo": lambda: methods.MoCo(network(), queue_size=9),
    "MoCoV3": lambda: methods.MoCoV3(network(), hidden=8),
    "Mixup": lambda: methods.Mixup(network(), DiceCELoss(softmax=True), 2),
    "PartitionContrast": lambda: methods.PartitionContrast(network()),
    "Restoration": lambda: methods.Restoration(network()),
    "RotationPrediction": lambda: methods.RotationPrediction(network()),
    "SASSNet": lambda: methods.SASSNet(network(), LABELED, 2, methods.Adversary(Evaluator(1, width=4))),
    "SelfTraining": lambda: methods.SelfTraining(supervised(), [], epochs=2, rounds=1),
    "SimCLR": lambda: methods.SimCLR(network()),
    "SimSiam": lambda: methods.SimSiam(network(), 8, 4),
    "SimTriplet": lambda: methods.SimTriplet(network(), 8, 4),
    "SuperCL": lambda: methods.SuperCL(methods.SimCLR(network())),
    "Supervised": supervised,
    "URPC": lambda: methods.URPC(network(), LABELED, 2),
    "MCNet": lambda: methods.MCNet(network(), LABELED, 2),
    "UAMT": lambda: methods.UAMT(network(), LABELED, 2, threshold_steps=9),
    "UniMatch": lambda: methods.UniMatch(network(), LABELED, 2, threshold=0.5),
}
BASES = {
    "Adversary", "InstanceContrast", "Method", "MomentumMethod", "NetworkMethod", "RandomBoxes", "SemiSupervised",
    "SignedDistances", "TwoStages", "weight_decay_groups",
}  # fmt: skip


def test_every_method_is_among_them():
    assert set(METHODS) == set(methods.__all__) - BASES


def views_of(batch, kind, count):
    """Views that the loader made, as a method takes them; the batch itself stands for what is missing."""
    suffixes = (["_1", "_2"] * 2)[:count]
    return [{key: kind(batch[key + suffix]) for key in (*KEYS, "superpixel")} for suffix in suffixes]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_views_from_the_loader(batch, name):
    tags = {key: batch[key] for key in ("volume", "position", "partition", "class")}

    def result(kind):
        torch.manual_seed(0)
        method = METHODS[name]()
        torch.manual_seed(1)
        found = method(views_of(batch, kind, method.views), {key: kind(tag) for key, tag in tags.items()})
        found["loss"].backward()
        method.after_step()
        return found, [parameter.grad for parameter in method.parameters()]

    found, gradients = result(meta)
    expected, wanted = result(plain)
    assert found.keys() == expected.keys() and any(grad is not None for grad in gradients)
    assert all(type(value) is torch.Tensor and torch.equal(value, expected[part]) for part, value in found.items())
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(gradients, wanted, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_views_from_prepare_views(batch, name):
    method = METHODS[name]()
    prepared = {key: value for key, value in batch.items() if key[-2:] not in ("_1", "_2")}
    views, tags, *_ = PrepareViews([simclr_policy()] * method.views)(prepared)
    assert {"volume", "position", "partition", "class"} <= tags.keys()
    assert all(type(tensor) is torch.Tensor for part in (*views, tags) for tensor in part.values())
    assert method(views, tags)["loss"].isfinite()


SAMPLERS = {
    "NeighborBatchSampler": lambda facts: NeighborBatchSampler(facts("volume"), facts("position"), 2, seed=1),
    "PartitionBatchSampler": lambda facts: PartitionBatchSampler(
        facts("volume"), facts("partition"), 2, seed=1, partitions=2
    ),
    "SliceBatchSampler": lambda facts: SliceBatchSampler(facts("volume"), 2, 3, seed=1),
    "TwoStreamBatchSampler": lambda facts: TwoStreamBatchSampler(
        [row for row, known in enumerate(facts("class")) if known],
        [row for row, known in enumerate(facts("class")) if not known], 1, 1, seed=1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_drives_a_monai_loader(volumes, name):
    assert name in data.__all__ and set(SAMPLERS) == {each for each in data.__all__ if each.endswith("Sampler")}
    steps = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
    dataset = CacheDataset(volumes, steps, progress=False)
    listed = SAMPLERS[name](lambda key: [item[key] for item in dataset])
    taken = SAMPLERS[name](lambda key: MetaTensor([dataset[row][key] for row in range(COUNT)]))
    for epoch in (0, 1):
        for sampler in (listed, taken):
            sampler.set_epoch(epoch)
        rows = list(listed)
        assert rows == list(taken) and all(isinstance(row, int) for row in default_convert(rows)[0])
        batches = [batch["volume"].tolist() for batch in DataLoader(dataset, batch_sampler=listed)]
        assert batches == [[volumes[row]["volume"] for row in step] for step in rows]
