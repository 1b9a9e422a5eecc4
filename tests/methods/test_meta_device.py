# SPDX-License-Identifier: Apache-2.0
"""Every method on torch's meta device, which has no values: what would make a GPU wait for the host raises there.

``.item()``, ``bool()``, ``nonzero``, ``.cpu()`` and tensors of two devices raise. Numbers that are sent from the host
to the device on the way do not raise, so they are looked for, from the second step on: what follows from the sizes
alone may be worked out once.

Two things are meant for the host and stay outside. Views draw their parameters on the CPU and send them in one copy,
see ``PrepareViews``; self-training predicts its labels between epochs, when ``set_epoch`` begins a round. What a step
may send is named in SENT.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from host_to_device import HostToDevice
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from monai_cl_ext import methods
from monai_cl_ext.losses import DeSDLoss, DINOLoss, MaskedDiceCELoss, SwAVLoss
from monai_cl_ext.methods import (
    BCP,
    BYOL,
    DINO,
    PCL,
    WCL,
    Adversary,
    CrossPseudoSupervision,
    DeSD,
    DiRA,
    EMASelfTraining,
    GCLGlobal,
    GCLLocal,
    MeanTeacher,
    Method,
    Mixup,
    MoCo,
    MoCoV3,
    PartitionContrast,
    Restoration,
    RotationPrediction,
    SelfTraining,
    SimCLR,
    SimSiam,
    SimTriplet,
    SuperCL,
    Supervised,
    SwAV,
    UniMatch,
)
from monai_cl_ext.networks import DINOHead, MultiCropViT, patch_discriminator
from monai_cl_ext.transforms import (
    BoxErasing,
    PatchSwapping,
    PrepareViews,
    ViewPolicy,
    basic_policy,
    batched_slic,
    crop_policy,
    distorted_policy,
    gcl_finetune_policy,
    gcl_intensity_policy,
    gcl_policy,
    identity_policy,
    intensity_part,
    keep_largest_components,
    moco_policy,
    pcl_policy,
    simclr_policy,
    spatial_part,
    strong_policy,
    supercl_policy,
    weak_med_policy,
    weak_policy,
)

ROWS, SIZE = 4, 16
LOSS = DiceCELoss(to_onehot_y=True, softmax=True)


@dataclass(frozen=True)
class Case:
    """A method as a bundle trains it: what makes it, the policy of each view, and other arguments of PrepareViews."""

    make: Callable[[int], Method]
    policies: Callable[[int], list[ViewPolicy]]
    views: dict = field(default_factory=dict)


def network(dims: int) -> BasicUNet:
    return BasicUNet(dims, 1, 3, features=[4, 4, 4, 4, 8, 4], norm="batch")


def vit(dims: int) -> MultiCropViT:
    return MultiCropViT(1, SIZE, 4, 24, 48, 2, 2, spatial_dims=dims)


def dino(backbone: Callable[[int], nn.Module], dims: int) -> DINO:
    return DINO(backbone(dims), partial(DINOHead, out_dim=12, hidden=10, bottleneck=6), DINOLoss(12))


def desd(dims: int) -> DeSD:
    head = partial(DINOHead, out_dim=12, hidden=10, bottleneck=6, batch_norm=True)
    return DeSD(network(dims), head, DeSDLoss(12))


def swav(dims: int, queue_size: int = 0) -> SwAV:
    method = SwAV(network(dims), SwAVLoss(), 6, 10, 4, queue_size)
    method.iteration = 9  # the queues are full
    return method


def crops(dims: int, size: int = SIZE) -> list[ViewPolicy]:
    policy = strong_policy(size, dims, color=False)
    return [crop_policy(policy, each, solarize_probability=0.2) for each in (size, size, size // 2)]


def superpixel_views(dims: int) -> list[ViewPolicy]:
    policy = supercl_policy(SIZE, dims)
    return [intensity_part(policy)] * 2 + [spatial_part(policy)] * 2


def regions(dims: int) -> int | list[list[int]]:
    return 13 if dims == 2 else [[corner] * dims for corner in (0, 3, 6)]  # the paper's lie in a plane


def segmentation(dims: int, policy: Callable[..., ViewPolicy] = gcl_finetune_policy) -> list[ViewPolicy]:
    return [policy(SIZE, dims)]


def corrupted(corruption: type, dims: int) -> list[ViewPolicy]:
    operation = corruption(0.5, dims) if corruption is BoxErasing else corruption(2, 0.25, dims)
    return [identity_policy(SIZE, dims), ViewPolicy([operation], spatial_dims=dims)]


def distorted(dims: int) -> list[ViewPolicy]:
    policy = simclr_policy(SIZE, dims, color=False)
    changed = [distorted_policy(each, swaps=2, patch=0.25) for each in (intensity_part(policy), policy)]
    return [spatial_part(policy), *changed]


def dira(adversary: bool, dims: int) -> DiRA:
    discriminator = Adversary(patch_discriminator(1, dims, 4)) if adversary else None
    return DiRA(MoCo(network(dims), queue_size=9), discriminator)


def weak_to_strong(dims: int) -> list[ViewPolicy]:
    strong = intensity_part(strong_policy(SIZE, dims, color=False, mirror_probability=0.0, limits=None))
    return [gcl_finetune_policy(SIZE, dims), strong, strong]


def after_warm_up(method: type[Method], loss: nn.Module, dims: int) -> Method:
    """A method of two stages in its second one."""
    made = method(network(dims), loss, 2, warm_up_steps=0, refine=partial(keep_largest_components, num_classes=3))
    made.iteration = 1
    return made


class NoSlices:
    """Stands for MixedSlices; only the rounds between epochs look at it."""

    predicted = torch.empty(0)


CALLS = {
    "SimCLR": Case(lambda dims: SimCLR(network(dims)), lambda dims: [simclr_policy(SIZE, dims, color=False)] * 2),
    "MoCo": Case(
        lambda dims: MoCo(network(dims), queue_size=9), lambda dims: [simclr_policy(SIZE, dims, color=False)] * 2
    ),
    "MoCoV3": Case(
        lambda dims: MoCoV3(network(dims), hidden=8), lambda dims: [simclr_policy(SIZE, dims, color=False)] * 2
    ),
    "BYOL": Case(
        lambda dims: BYOL(network(dims), 8, 4),
        lambda dims: [
            strong_policy(SIZE, dims, color=False, blur_probability=blur, solarize_probability=solarize)
            for blur, solarize in ((1.0, 0.0), (0.1, 0.2))
        ],
    ),
    **{
        kind.__name__: Case(
            lambda dims, kind=kind: kind(network(dims), 8, 4),
            lambda dims: [moco_policy(SIZE, dims, color=False)] * 2,
        )
        for kind in (SimSiam, SimTriplet)
    },
    "PCL": Case(lambda dims: PCL(network(dims)), lambda dims: [pcl_policy(SIZE, dims)] * 2),
    "PartitionContrast": Case(lambda dims: PartitionContrast(network(dims)), lambda dims: [pcl_policy(SIZE, dims)] * 2),
    "WCL": Case(lambda dims: WCL(network(dims)), lambda dims: [weak_policy(SIZE, dims, color=False)] * 2),
    **{
        f"SuperCL of {instance.__name__}": Case(
            lambda dims, instance=instance: SuperCL(instance(network(dims)), stride=1, base_temperature=0.07),
            superpixel_views,
            {"made_from": [None, None, 0, 1]},
        )
        for instance in (PCL, WCL)
    },
    "SuperCL with superpixels of each view": Case(
        lambda dims: SuperCL(PCL(network(dims)), cross_view_only=True, normalize="superpixel"),
        superpixel_views,
        {"made_from": [None, None, 0, 1], "superpixels": partial(batched_slic, n_segments=6)},
    ),
    **{
        f"GCLGlobal {strategy}": Case(
            lambda dims, strategy=strategy: GCLGlobal(network(dims), strategy, SIZE, hidden=8, features=4),
            lambda dims, strategy=strategy: [
                *([] if strategy == "gr" else [identity_policy(SIZE, dims)]), *[gcl_policy(SIZE, dims)] * 2
            ],
        )
        for strategy in ("gr", "gd-", "gd")
    },
    **{
        f"GCLLocal {strategy}": Case(
            lambda dims, strategy=strategy: GCLLocal(network(dims), strategy, region_size=1, regions=regions(dims)),
            lambda dims: [gcl_intensity_policy(SIZE, dims)] * 2,
        )
        for strategy in ("lr", "ld")
    },
    "DINO of a ViT": Case(partial(dino, vit), crops),
    "DINO of a U-Net": Case(partial(dino, network), partial(crops, size=2 * SIZE)),
    "DeSD": Case(desd, partial(crops, size=2 * SIZE)),
    "SwAV": Case(swav, partial(crops, size=2 * SIZE)),
    "SwAV with its queues": Case(partial(swav, queue_size=2 * ROWS), partial(crops, size=2 * SIZE)),
    **{
        f"Restoration of {corruption.__name__}": Case(
            lambda dims: Restoration(network(dims)), partial(corrupted, corruption), {"made_from": [None, 0]}
        )
        for corruption in (BoxErasing, PatchSwapping)
    },
    **{
        f"DiRA with{'' if adversary else 'out'} an adversary": Case(
            partial(dira, adversary), distorted, {"made_from": [None, 0, None]}
        )
        for adversary in (True, False)
    },
    "RotationPrediction": Case(
        lambda dims: RotationPrediction(network(dims)), partial(segmentation, policy=weak_med_policy)
    ),
    "Supervised": Case(
        lambda dims: Supervised(network(dims), DiceCELoss(to_onehot_y=True, softmax=True)), segmentation
    ),
    "Supervised of classes": Case(
        lambda dims: Supervised(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), nn.CrossEntropyLoss(), "class"),
        partial(segmentation, policy=basic_policy),
    ),
    "Mixup": Case(lambda dims: Mixup(network(dims), DiceCELoss(softmax=True), 3), segmentation),
    "SelfTraining": Case(
        lambda dims: SelfTraining(Supervised(network(dims), DiceCELoss(to_onehot_y=True, softmax=True)), NoSlices(), 4),
        segmentation,
    ),
    "MeanTeacher": Case(lambda dims: MeanTeacher(network(dims), LOSS, 2), segmentation),
    "CrossPseudoSupervision": Case(
        lambda dims: CrossPseudoSupervision(network(dims), network(dims), LOSS, 2), segmentation
    ),
    "EMASelfTraining": Case(partial(after_warm_up, EMASelfTraining, LOSS), segmentation),
    "EMASelfTraining in its warm-up": Case(lambda dims: EMASelfTraining(network(dims), LOSS, 2, 9), segmentation),
    "BCP": Case(partial(after_warm_up, BCP, MaskedDiceCELoss()), segmentation),
    "BCP in its warm-up": Case(lambda dims: BCP(network(dims), MaskedDiceCELoss(), 2, 9), segmentation),
    "UniMatch": Case(lambda dims: UniMatch(network(dims), LOSS, 2), weak_to_strong, {"made_from": [None, 0, 0]}),
    "UniMatch as FixMatch": Case(
        lambda dims: UniMatch(network(dims), LOSS, 2, strong_views=1, feature_dropout=0.0),
        lambda dims: weak_to_strong(dims)[:2],
        {"made_from": [None, 0]},
    ),
}  # fmt: skip

BOXES = "corners of boxes are drawn by a seeded generator of the CPU and sent in one copy from pinned memory"
SENT = {
    **dict.fromkeys(["BCP", "BCP in its warm-up", "UniMatch", "UniMatch as FixMatch"], BOXES),
    "Mixup": "weights and partners are drawn by a seeded generator of the CPU and sent in one copy from pinned memory",
}


def batch(dims: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = [SIZE + 4] * dims
    return {
        "image": torch.rand(ROWS, 1, *size, generator=generator),
        "label": torch.randint(3, (ROWS, 1, *size), generator=generator, dtype=torch.uint8),
        "superpixel": torch.randint(5, (ROWS, 1, *size), generator=generator, dtype=torch.int32),
        "volume": torch.tensor([0, 0, 1, 1]),
        "partition": torch.tensor([0, 1, 0, 1]),
        "position": torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64),
        "class": torch.tensor([0, 1, 0, 1]),
    }


def test_every_method_has_an_entry():
    public = [getattr(methods, name) for name in methods.__all__]
    kinds = [kind for kind in public if inspect.isclass(kind) and issubclass(kind, Method)]
    concrete = {kind.__name__ for kind in kinds if not inspect.isabstract(kind)}
    assert {name.split()[0] for name in CALLS} == concrete


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", CALLS)
def test_a_step_of_training_waits_for_nothing_on_the_host(name, dims):
    case = CALLS[name]
    method = case.make(dims)
    prepare = PrepareViews(case.policies(dims), **case.views)
    prepare.set_epoch(1)
    if name == "Supervised of classes":
        method.network(torch.zeros(ROWS, 1, *[SIZE] * dims))  # a lazy layer takes its width
    method = method.to("meta")
    method.set_epoch(1)
    views, tags, *_ = prepare(batch(dims), torch.device("meta"))
    assert all(map_.device.type == "meta" for view in views for map_ in view.values())
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    step(method, views, tags, optimizer)
    with HostToDevice() as sent:
        losses = step(method, views, tags, optimizer)
        method.pairs(views, tags)
        if type(method).embed is not Method.embed:
            assert method.embed(views[0]["image"]).shape[0] == ROWS
    assert {loss.device.type for loss in losses.values()} == {"meta"}
    assert trained and all(parameter.grad is not None for parameter in trained)
    assert bool(sent.seen) == (name in SENT), sent.seen


def step(method: Method, views: list, tags: dict, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    losses = method(views, tags)
    losses["loss"].backward()
    optimizer.step()
    method.after_step()
    return losses
