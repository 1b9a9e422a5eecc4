# SPDX-License-Identifier: Apache-2.0
"""A call of every public loss, for what must hold of all of them; a new loss joins with one entry."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monai_cl_ext.losses import (
    BYOLLoss,
    CrossPseudoSupervisionLoss,
    DeSDLoss,
    DINOLoss,
    DualTaskConsistencyLoss,
    FilterIndependenceLoss,
    LocalContrastiveLoss,
    MaskedDiceCELoss,
    MoCoLoss,
    MoCoV3Loss,
    MutualConsistencyLoss,
    NTXentLoss,
    PartitionContrastiveLoss,
    PositionContrastiveLoss,
    PyramidConsistencyLoss,
    SimSiamLoss,
    SimTripletLoss,
    SuperpixelContrastiveLoss,
    SuperpixelGraphContrastiveLoss,
    SupervisedContrastiveLoss,
    SwAVLoss,
    UncertaintyMaskedConsistencyLoss,
    WeakGraphContrastiveLoss,
    average_superpixel_map,
    contrast,
    different,
    groupwise,
    joint,
    nearest_neighbor_components,
    pairwise,
    same,
    sharpen,
    sinkhorn,
)

GENERATOR = torch.Generator().manual_seed(6)
EMBEDDINGS = torch.randn(3, 6, 5, dtype=torch.float64, generator=GENERATOR)
MAPS = torch.randn(2, 6, 3, 9, 9, dtype=torch.float64, generator=GENERATOR)
PARTITION = torch.tensor([0, 1, 0, 1, 0, -1])
VOLUME = torch.tensor([4, 4, 7, 7, 9, 9])
POSITION = torch.tensor([0.25, 0.5, 0.75, 1.0, 0.3, 0.4], dtype=torch.float64)
SUPERPIXELS = torch.randint(4, (2, 6, 9, 9), generator=GENERATOR)
CLASSES = torch.randint(3, (6, 1, 9, 9), generator=GENERATOR)
UNCERTAINTY = torch.rand(6, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
MASK = torch.randint(2, (6, 1, 9, 9), generator=GENERATOR)


@dataclass(frozen=True)
class Call:
    """A loss and its arguments: views, stacked along the first axis, that take a gradient, then tags."""

    loss: Callable[..., Tensor]
    views: Tensor
    tags: tuple[Tensor, ...] = ()

    def on(self, device: str) -> Callable[..., Tensor]:
        """The loss itself, or a copy of the module on a device."""
        return copy.deepcopy(self.loss).to(device) if isinstance(self.loss, nn.Module) else self.loss


class Dino(nn.Module):
    """DINOLoss, called with views."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = DINOLoss(5)

    def forward(self, *views: Tensor) -> Tensor:
        return self.loss(views, [view.detach() for view in views[:2]], 0.04)


class DeSD(nn.Module):
    """DeSDLoss of two levels, called with views."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = DeSDLoss(5)

    def forward(self, *views: Tensor) -> Tensor:
        return self.loss([views, [2 * view for view in views]], [view.detach() for view in views[:2]], 0.04)


class Independence(nn.Module):
    """FilterIndependenceLoss of one layer, called with the weights of two networks."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = FilterIndependenceLoss([6])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.loss([first], [second])


class Partition(nn.Module):
    """PartitionContrastiveLoss, called with views."""

    def __init__(self, strategy: str) -> None:
        super().__init__()
        self.loss, self.views = PartitionContrastiveLoss(strategy), 2 if strategy == "gr" else 3

    def forward(self, *arguments: Tensor) -> Tensor:
        return self.loss(arguments[: self.views], *arguments[3:])


def swav(*views: Tensor) -> Tensor:
    """SwAVLoss, called with crops and the scores of queued rows."""
    return SwAVLoss()(views, queued=[view[:4].detach() for view in views[:2]])


def certain(student: Tensor, teacher: Tensor, uncertainty: Tensor) -> Tensor:
    """UncertaintyMaskedConsistencyLoss, called with logits."""
    return UncertaintyMaskedConsistencyLoss()(student.softmax(1), teacher.softmax(1), uncertainty, 0.6)


def listed(loss: nn.Module) -> Callable[..., Tensor]:
    """A loss of a list of maps, called with them."""
    return lambda *maps: loss(maps)


def in_form(form: str) -> Callable[[Tensor, Tensor], Tensor]:
    forms = {"joint": joint, "pairwise": pairwise, "groupwise": groupwise(3)}
    return lambda z, tag: contrast(z, same(tag), different(tag), temperature=0.1, form=forms[form], tile=4)


CALLS = {
    "NTXentLoss": Call(NTXentLoss(), EMBEDDINGS[:2]),
    "SupervisedContrastiveLoss": Call(SupervisedContrastiveLoss(0.1, 0.07), EMBEDDINGS[:1], (PARTITION,)),
    **{
        f"PartitionContrastiveLoss {strategy}": Call(Partition(strategy), EMBEDDINGS, (PARTITION, VOLUME))
        for strategy in ("gr", "gd-", "gd")
    },
    "PositionContrastiveLoss": Call(PositionContrastiveLoss(0.3), EMBEDDINGS[:2], (POSITION,)),
    "PositionContrastiveLoss in space": Call(
        PositionContrastiveLoss(0.3), EMBEDDINGS[:2], (torch.stack([POSITION, POSITION**2, POSITION / 2], dim=1),)
    ),
    "WeakGraphContrastiveLoss": Call(WeakGraphContrastiveLoss(), EMBEDDINGS[:2]),
    "LocalContrastiveLoss lr": Call(LocalContrastiveLoss("lr", 3), MAPS),
    "LocalContrastiveLoss lr released": Call(LocalContrastiveLoss("lr", 3, 13, "released"), MAPS),
    "LocalContrastiveLoss ld": Call(LocalContrastiveLoss("ld", 3), MAPS, (PARTITION, VOLUME)),
    "SuperpixelContrastiveLoss": Call(SuperpixelContrastiveLoss(0.1, 2, True), MAPS, (SUPERPIXELS[0],)),
    **{
        f"SuperpixelGraphContrastiveLoss {normalize}": Call(
            SuperpixelGraphContrastiveLoss(normalize=normalize), EMBEDDINGS[:2], (*MAPS, *SUPERPIXELS)
        )
        for normalize in ("map", "superpixel")
    },
    "DINOLoss": Call(Dino(), EMBEDDINGS),
    "DeSDLoss": Call(DeSD(), EMBEDDINGS),
    "SwAVLoss": Call(swav, EMBEDDINGS),
    "sinkhorn": Call(sinkhorn, EMBEDDINGS[:1]),
    "MoCoLoss": Call(MoCoLoss(), EMBEDDINGS),
    "MoCoV3Loss": Call(MoCoV3Loss(), EMBEDDINGS.repeat(2, 1, 1)[:4]),
    "BYOLLoss": Call(BYOLLoss(), EMBEDDINGS.repeat(2, 1, 1)[:4]),
    "SimSiamLoss": Call(SimSiamLoss(), EMBEDDINGS.repeat(2, 1, 1)[:4]),
    "SimTripletLoss": Call(SimTripletLoss(), EMBEDDINGS.repeat(2, 1, 1)),
    "MaskedDiceCELoss": Call(MaskedDiceCELoss(), MAPS[:1], (CLASSES, MASK)),
    "CrossPseudoSupervisionLoss": Call(CrossPseudoSupervisionLoss(), MAPS),
    "PyramidConsistencyLoss": Call(listed(PyramidConsistencyLoss()), MAPS),
    "MutualConsistencyLoss": Call(listed(MutualConsistencyLoss()), MAPS),
    "sharpen": Call(lambda maps: sharpen(maps.softmax(1)).sum(), MAPS[:1]),
    "UncertaintyMaskedConsistencyLoss": Call(certain, MAPS, (UNCERTAINTY,)),
    "FilterIndependenceLoss": Call(Independence(), MAPS),
    "DualTaskConsistencyLoss": Call(lambda distance, logits: DualTaskConsistencyLoss(2)(distance[:, 1:], logits), MAPS),
    **{f"contrast {form}": Call(in_form(form), EMBEDDINGS[:1], (PARTITION,)) for form in ("joint", "pairwise")},
    "contrast groupwise": Call(in_form("groupwise"), EMBEDDINGS[:1], (torch.tensor([0, 1, 2, 2, 1, 0]),)),
    "average_superpixel_map": Call(lambda f, s: average_superpixel_map(f, s).sum(), MAPS[:1], (SUPERPIXELS[0],)),
    "nearest_neighbor_components": Call(nearest_neighbor_components, EMBEDDINGS[:1]),
}
