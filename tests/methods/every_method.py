# SPDX-License-Identifier: Apache-2.0
"""Every method as its bundle trains it, in 2D and 3D, for what must hold of all; a new method joins with one entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from monai_cl_ext.losses import DeSDLoss, DINOLoss, MaskedDiceCELoss, SwAVLoss
from monai_cl_ext.methods import (
    BCP,
    BYOL,
    DAN,
    DINO,
    DTC,
    PCL,
    UAMT,
    URPC,
    WCL,
    Adversary,
    AugmentedTraining,
    CauSSL,
    CrossPseudoSupervision,
    DeSD,
    DiRA,
    EMASelfTraining,
    GCLGlobal,
    GCLLocal,
    LearnedAugmentation,
    MCNet,
    MeanTeacher,
    Method,
    Mixup,
    MoCo,
    MoCoV3,
    PartitionContrast,
    Restoration,
    RotationPrediction,
    SASSNet,
    SelfTraining,
    SimCLR,
    SimSiam,
    SimTriplet,
    SuperCL,
    Supervised,
    SwAV,
    UniMatch,
)
from monai_cl_ext.networks import (
    DeformationGenerator,
    DINOHead,
    Evaluator,
    IntensityGenerator,
    MultiCropViT,
    image_discriminator,
    patch_discriminator,
)
from monai_cl_ext.transforms import (
    BoxErasing,
    PatchSwapping,
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
    segmentation_policy,
    simclr_policy,
    spatial_part,
    strong_policy,
    supercl_policy,
)

ROWS = 4
LOSS = DiceCELoss(to_onehot_y=True, softmax=True)


@dataclass(frozen=True)
class Case:
    """A method as a bundle trains it: what makes it, the policy of each view, and other arguments of PrepareViews."""

    make: Callable[[int], Method]
    policies: Callable[[int], list[ViewPolicy]]
    views: dict = field(default_factory=dict)


def size_of(dims: int) -> list[int]:
    """Spatial size of the views; in 3D no two sides are alike, and one is as short as the network takes."""
    return [16, 16] if dims == 2 else [16, 48, 32]


def network(dims: int) -> BasicUNet:
    return BasicUNet(dims, 1, 3, features=[4, 4, 4, 4, 8, 4], norm="batch")


def vit(dims: int) -> MultiCropViT:
    return MultiCropViT(1, size_of(dims), 4, 24, 48, 2, 2, spatial_dims=dims)


def dino(backbone: Callable[[int], nn.Module], dims: int) -> DINO:
    return DINO(backbone(dims), partial(DINOHead, out_dim=12, hidden=10, bottleneck=6), DINOLoss(12))


def desd(dims: int) -> DeSD:
    head = partial(DINOHead, out_dim=12, hidden=10, bottleneck=6, batch_norm=True)
    return DeSD(network(dims), head, DeSDLoss(12))


def swav(dims: int, queue_size: int = 0) -> SwAV:
    method = SwAV(network(dims), SwAVLoss(), 6, 10, 4, queue_size)
    method.iteration = 9  # the queues are full
    return method


def crops(dims: int, whole: Sequence[int], local: Sequence[int]) -> list[ViewPolicy]:
    policy = strong_policy(whole, dims, color=False)
    return [crop_policy(policy, each, solarize_probability=0.2) for each in (whole, whole, local)]


def vit_crops(dims: int) -> list[ViewPolicy]:
    return crops(dims, size_of(dims), [side // 2 for side in size_of(dims)])


def unet_crops(dims: int) -> list[ViewPolicy]:
    return crops(2, [32, 32], [16, 16]) if dims == 2 else crops(3, size_of(3), [16, 32, 16])


def superpixel_views(dims: int) -> list[ViewPolicy]:
    return [supercl_policy(size_of(dims), dims)] * 2 + [pcl_policy(size_of(dims), dims)] * 2


def one_view(policy: Callable[..., ViewPolicy], dims: int) -> list[ViewPolicy]:
    return [policy(size_of(dims), dims)]


def two_views(policy: Callable[..., ViewPolicy], dims: int, **arguments: bool) -> list[ViewPolicy]:
    return [policy(size_of(dims), dims, **arguments)] * 2


labeled = partial(one_view, gcl_finetune_policy)
few_labels = partial(one_view, segmentation_policy)


def square(dims: int) -> list[ViewPolicy]:
    """Square in the plane of the last two axes, whatever lies across it."""
    return [identity_policy(32 if dims == 2 else (16, 32, 32), dims)]


def corrupted(corruption: type, dims: int) -> list[ViewPolicy]:
    operation = corruption(0.5, dims) if corruption is BoxErasing else corruption(2, 0.25, dims)
    return [identity_policy(size_of(dims), dims), ViewPolicy([operation], spatial_dims=dims)]


def distorted(dims: int) -> list[ViewPolicy]:
    policy = moco_policy(size_of(dims), dims, color=False)
    changed = [distorted_policy(each, swaps=2, patch=0.25) for each in (intensity_part(policy), policy)]
    return [spatial_part(policy), *changed]


def dira(adversary: bool, dims: int) -> DiRA:
    discriminator = Adversary(patch_discriminator(1, dims, 4)) if adversary else None
    return DiRA(MoCo(network(dims), queue_size=9), discriminator)


def weak_to_strong(dims: int) -> list[ViewPolicy]:
    strong = intensity_part(strong_policy(size_of(dims), dims, color=False, mirror_probability=0.0, limits=None))
    return [segmentation_policy(size_of(dims), dims), strong, strong]


def multiples_of_32(dims: int) -> list[int]:
    return [32, 32] if dims == 2 else [32, 64, 32]


def learned(kind: type[nn.Module], dims: int, **given: int) -> LearnedAugmentation:
    adversary = Adversary(image_discriminator(multiples_of_32(dims), 1, dims))
    generator = kind(multiples_of_32(dims), 1, dims)
    return LearnedAugmentation(network(dims), DiceCELoss(softmax=True), 2, generator, adversary, **given)


def augmented(dims: int) -> AugmentedTraining:
    generators = [kind(multiples_of_32(dims), 1, dims) for kind in (DeformationGenerator, IntensityGenerator)]
    return AugmentedTraining(Supervised(network(dims), DiceCELoss(softmax=True)), *generators, 3)


def larger(dims: int) -> list[ViewPolicy]:
    return [segmentation_policy(multiples_of_32(dims), dims)]


def after_warm_up(method: type[Method], loss: nn.Module, dims: int) -> Method:
    """A method of two stages in its second one."""
    made = method(network(dims), loss, 2, warm_up_steps=0, refine=partial(keep_largest_components, num_classes=3))
    made.iteration = 1
    return made


class NoSlices:
    """Stands for MixedSlices; only the rounds between epochs look at it."""

    predicted = torch.empty(0)


CALLS = {
    "SimCLR": Case(lambda dims: SimCLR(network(dims)), partial(two_views, simclr_policy, color=False)),
    "MoCo": Case(
        lambda dims: MoCo(network(dims), queue_size=9), partial(two_views, moco_policy, color=False)
    ),
    "MoCoV3": Case(
        lambda dims: MoCoV3(network(dims), hidden=8), partial(two_views, simclr_policy, color=False)
    ),
    "BYOL": Case(
        lambda dims: BYOL(network(dims), 8, 4),
        lambda dims: [
            strong_policy(size_of(dims), dims, color=False, blur_probability=blur, solarize_probability=solarize)
            for blur, solarize in ((1.0, 0.0), (0.1, 0.2))
        ],
    ),
    **{
        kind.__name__: Case(
            lambda dims, kind=kind: kind(network(dims), 8, 4),
            partial(two_views, moco_policy, color=False),
        )
        for kind in (SimSiam, SimTriplet)
    },
    "PCL": Case(lambda dims: PCL(network(dims)), partial(two_views, pcl_policy)),
    "PartitionContrast": Case(lambda dims: PartitionContrast(network(dims)), partial(two_views, pcl_policy)),
    "WCL": Case(lambda dims: WCL(network(dims)), partial(two_views, gcl_policy)),
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
            lambda dims, strategy=strategy: GCLGlobal(network(dims), strategy, size_of(dims), hidden=8, features=4),
            lambda dims, strategy=strategy: [
                *([] if strategy == "gr" else [identity_policy(size_of(dims), dims)]), *two_views(gcl_policy, dims)
            ],
        )
        for strategy in ("gr", "gd-", "gd")
    },
    **{
        f"GCLLocal {strategy}": Case(
            lambda dims, strategy=strategy: GCLLocal(network(dims), strategy, region_size=1),
            partial(two_views, gcl_intensity_policy),
        )
        for strategy in ("lr", "ld")
    },
    "DINO of a ViT": Case(partial(dino, vit), vit_crops),
    "DINO of a U-Net": Case(partial(dino, network), unet_crops),
    "DeSD": Case(desd, unet_crops),
    "SwAV": Case(swav, unet_crops),
    "SwAV with its queues": Case(partial(swav, queue_size=2 * ROWS), unet_crops),
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
        lambda dims: RotationPrediction(network(dims), (dims - 2, dims - 1)), square
    ),
    "Supervised": Case(
        lambda dims: Supervised(network(dims), DiceCELoss(to_onehot_y=True, softmax=True)), labeled
    ),
    "Supervised of classes": Case(
        lambda dims: Supervised(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), nn.CrossEntropyLoss(), "class"),
        partial(one_view, basic_policy),
    ),
    "Mixup": Case(lambda dims: Mixup(network(dims), DiceCELoss(softmax=True), 3), labeled),
    "SelfTraining": Case(
        lambda dims: SelfTraining(Supervised(network(dims), DiceCELoss(to_onehot_y=True, softmax=True)), NoSlices(), 4),
        labeled,
    ),
    "MeanTeacher": Case(lambda dims: MeanTeacher(network(dims), LOSS, 2), few_labels),
    "UAMT": Case(lambda dims: UAMT(network(dims), LOSS, 2, threshold_steps=9), few_labels),
    "URPC": Case(lambda dims: URPC(network(dims), LOSS, 2), few_labels),
    "MCNet": Case(lambda dims: MCNet(network(dims), LOSS, 2), few_labels),
    "CrossPseudoSupervision": Case(
        lambda dims: CrossPseudoSupervision(network(dims), network(dims), LOSS, 2), few_labels
    ),
    "DTC": Case(lambda dims: DTC(network(dims), LOSS, 2), few_labels),
    "CauSSL": Case(lambda dims: CauSSL(network(dims), network(dims), LOSS, 2, begin=0, every=1), few_labels),
    "EMASelfTraining": Case(partial(after_warm_up, EMASelfTraining, LOSS), few_labels),
    "EMASelfTraining in its warm-up": Case(lambda dims: EMASelfTraining(network(dims), LOSS, 2, 9), few_labels),
    "BCP": Case(partial(after_warm_up, BCP, MaskedDiceCELoss()), few_labels),
    "BCP in its warm-up": Case(lambda dims: BCP(network(dims), MaskedDiceCELoss(), 2, 9), few_labels),
    "DAN": Case(lambda dims: DAN(network(dims), LOSS, 2, Adversary(Evaluator(3, 1, dims, 4))), few_labels),
    **{
        f"LearnedAugmentation by a {kind.__name__}": Case(partial(learned, kind), larger)
        for kind in (DeformationGenerator, IntensityGenerator)
    },
    "LearnedAugmentation as released": Case(
        partial(learned, DeformationGenerator, released_detached=True), larger
    ),
    "LearnedAugmentation in its warm-up": Case(partial(learned, DeformationGenerator, warm_up_steps=9), larger),
    "AugmentedTraining": Case(augmented, larger),
    "SASSNet": Case(lambda dims: SASSNet(network(dims), LOSS, 2, Adversary(Evaluator(2, 1, dims, 4))), few_labels),
    "UniMatch": Case(lambda dims: UniMatch(network(dims), LOSS, 2), weak_to_strong, {"made_from": [None, 0, 0]}),
    "UniMatch as FixMatch": Case(
        lambda dims: UniMatch(network(dims), LOSS, 2, feature_dropout=0.0),
        lambda dims: weak_to_strong(dims)[:2],
        {"made_from": [None, 0]},
    ),
}  # fmt: skip


def batch(dims: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = [side + 4 for side in size_of(dims)]
    return {
        "image": torch.rand(ROWS, 1, *size, generator=generator),
        "label": torch.randint(3, (ROWS, 1, *size), generator=generator, dtype=torch.uint8),
        "superpixel": torch.randint(5, (ROWS, 1, *size), generator=generator, dtype=torch.int32),
        "volume": torch.tensor([0, 0, 1, 1]),
        "partition": torch.tensor([0, 1, 0, 1]),
        "position": torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64),
        "class": torch.tensor([0, 1, 0, 1]),
    }
