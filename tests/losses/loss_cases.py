# SPDX-License-Identifier: Apache-2.0
"""What two processes compute together: cases that a new loss joins with one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from contrast_oracles import rows
from torch import Tensor

from monai_cl_ext.losses import (
    BYOLLoss,
    CrossPseudoSupervisionLoss,
    DeSDLoss,
    DualTaskConsistencyLoss,
    FilterIndependenceLoss,
    LocalContrastiveLoss,
    MaskedDiceCELoss,
    MoCoLoss,
    MoCoV3Loss,
    MutualConsistencyLoss,
    NTXentLoss,
    PartitionContrastiveLoss,
    PyramidConsistencyLoss,
    SimSiamLoss,
    SimTripletLoss,
    SupervisedContrastiveLoss,
    SwAVLoss,
    UncertaintyMaskedConsistencyLoss,
    contrast,
    pairwise,
    same,
)


@dataclass(frozen=True)
class Case:
    """Eight samples, of which process 0 has the first ``first`` and process 1 the others.

    ``loss(z, own)`` is the loss of the samples ``own``; z is (V, 8, D), V views of all samples.
    """

    loss: Callable[[Tensor, slice], Tensor]
    first: int = 4
    views: int = 2
    width: int = 5

    def leaf(self) -> Tensor:
        return rows(self.views, 8, self.width)

    def own(self, rank: int) -> slice:
        return slice(0, self.first) if rank == 0 else slice(self.first, 8)


def ntxent(z: Tensor, own: slice) -> Tensor:
    return NTXentLoss(0.1)(z[0, own], z[1, own])


def supervised(labels: list[int]) -> Callable[[Tensor, slice], Tensor]:
    return lambda z, own: SupervisedContrastiveLoss(0.1, 0.07)(z[0, own], torch.tensor(labels)[own])


def partition(strategy: str, volume: list[int]) -> Callable[[Tensor, slice], Tensor]:
    tags = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]), torch.tensor(volume)
    return lambda z, own: PartitionContrastiveLoss(strategy)([view[own] for view in z], *(tag[own] for tag in tags))


def local(strategy: str, partition: list[int]) -> Callable[[Tensor, slice], Tensor]:
    """Each row of z, (V, 8, 25), is a map of 5x5 pixels."""
    tags = torch.tensor(partition), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    loss = LocalContrastiveLoss(strategy, region_size=2, regions=[(0, 0), (0, 3), (3, 1)])
    return lambda z, own: loss(*z[:, own].unflatten(-1, (1, 5, 5)), *(tag[own] for tag in tags))


def own_problems(z: Tensor, own: slice) -> Tensor:
    """Each sample is a problem of its own, its views the rows; the last sample has no positive."""
    label = torch.tensor([[0, 0, 1, 1]] * 7 + [[0, 1, 2, 3]])
    return contrast(z[:, own].transpose(0, 1), same(label[own]), temperature=0.1, form=pairwise)


def masked(mask: list[int]) -> Callable[[Tensor, slice], Tensor]:
    """Each row of z, (V, 8, 12), is logits of 3 classes of 4 voxels; ``mask`` says how many of these count, by row."""
    target = torch.tensor([0, 1, 2, 1]).repeat(8, 1, 1)
    target[5:] = 0  # classes that one process alone has
    inside = (torch.arange(4) < torch.tensor(mask)[:, None, None]).float()
    loss = MaskedDiceCELoss()
    return lambda z, own: loss(z[0, own].unflatten(-1, (3, 4)), target[own], inside[own])


def cross_supervision(z: Tensor, own: slice) -> Tensor:
    return CrossPseudoSupervisionLoss()(*z[:, own].unflatten(-1, (3, 4)))


def certain(limit: float) -> Callable[[Tensor, slice], Tensor]:
    """Rows of a process are all uncertain, where ``limit`` is below the uncertainty of each of them."""
    uncertainty = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]).view(8, 1, 1) + torch.arange(4) / 40
    loss = UncertaintyMaskedConsistencyLoss()
    return lambda z, own: loss(*z[:, own].unflatten(-1, (3, 4)).softmax(2), uncertainty[own], limit)


def agreement(loss: Callable[..., Tensor]) -> Callable[[Tensor, slice], Tensor]:
    """Each row of z, (V, 8, 12), is logits of 3 classes of 4 voxels."""
    return lambda z, own: loss(list(z[:, own].unflatten(-1, (3, 4))))


def dual_task(z: Tensor, own: slice) -> Tensor:
    distance, logits = z[:, own].unflatten(-1, (3, 4))
    return DualTaskConsistencyLoss(2)(distance[:, 1:], logits)


def independence(z: Tensor, own: slice) -> Tensor:
    """Weights are those of every process, as are the coefficients; rows of a batch play no part."""
    loss = FilterIndependenceLoss([8, 4])
    for coefficients in loss.coefficients:
        coefficients.data = torch.eye(len(coefficients)) + 0.1
    return loss([z[0], z[1, :4]], [z[1], z[0, 4:]])


def siamese(loss: Callable[..., Tensor]) -> Callable[[Tensor, slice], Tensor]:
    return lambda z, own: loss(*z[:, own])


def swav(z: Tensor, own: slice) -> Tensor:
    return SwAVLoss()(list(z[:, own].tanh()))


def swav_with_queue(z: Tensor, own: slice) -> Tensor:
    """Each process has a part of the queue."""
    return SwAVLoss()(list(z[:, own].tanh()), queued=list(rows(2, 8, 5).detach().tanh()[:, own]))


def desd(z: Tensor, own: slice) -> Tensor:
    """Two levels of three crops, and constant teachers."""
    return DeSDLoss(5)([list(z[:3, own]), list(z[3:, own])], list(rows(2, 8, 5).detach()[:, own]), 0.1)


def moco(z: Tensor, own: slice) -> Tensor:
    return MoCoLoss()(*z[:, own], rows(9, 5, seed=3).detach())


CASES = {
    "moco": Case(moco, first=3),
    "moco, an empty process": Case(moco, first=8),
    "moco v3": Case(siamese(MoCoV3Loss(0.3)), first=3, views=4),
    "moco v3, an empty process": Case(siamese(MoCoV3Loss(0.3)), first=0, views=4),
    "byol": Case(siamese(BYOLLoss()), first=3, views=4),
    "byol, an empty process": Case(siamese(BYOLLoss()), first=8, views=4),
    "simsiam": Case(siamese(SimSiamLoss()), first=3, views=4),
    "simtriplet": Case(siamese(SimTripletLoss()), first=3, views=6),
    "swav": Case(swav, views=3),
    "swav, unequal": Case(swav, first=3, views=3),
    "swav, an empty process": Case(swav, first=8, views=3),
    "swav with a queue": Case(swav_with_queue, first=3, views=3),
    "desd": Case(desd, first=3, views=6),
    "desd, an empty process": Case(desd, first=8, views=6),
    "ntxent": Case(ntxent),
    "ntxent, unequal": Case(ntxent, first=3),
    "ntxent, an empty process": Case(ntxent, first=8),
    "supervised": Case(supervised([0, 1, 2, 0, 0, 1, 1, 3])),
    "supervised, a process without positives": Case(supervised([0, 1, 0, 1, 2, 3, 4, 5])),
    "supervised, no positive anywhere": Case(supervised([0, 1, 2, 3, 4, 5, 6, 7]), first=5),
    "partition gr": Case(partition("gr", [0, 0, 0, 1, 1, 1, 2, 2])),
    "partition gd-": Case(partition("gd-", [0, 0, 0, 1, 1, 1, 2, 2]), first=3, views=3),
    "partition gd": Case(partition("gd", [0, 0, 0, 1, 1, 1, 2, 2]), first=3, views=3),
    "partition gd, a volume in two processes": Case(partition("gd", [0, 0, 0, 1, 1, 1, 0, 2]), first=4, views=3),
    "problems of their own": Case(own_problems, views=4),
    "local lr": Case(local("lr", [0] * 8), first=3, width=25),
    "local lr, an empty process": Case(local("lr", [0] * 8), first=8, width=25),
    "local ld": Case(local("ld", [0, 1, 0, 1, 0, 0, 1, -1]), first=3, width=25),
    "local ld, an empty process": Case(local("ld", [0, 1, 0, 1, 0, 0, 1, -1]), first=0, width=25),
    "local ld, no pair across processes": Case(local("ld", [0, 1, 0, 1, 2, 3, 2, 3]), width=25),
    "masked dice and ce": Case(masked([4, 1, 2, 3, 4, 4, 1, 2]), width=12),
    "masked dice and ce, unequal": Case(masked([4, 1, 2, 3, 4, 4, 1, 2]), first=3, width=12),
    "masked dice and ce, a process with an empty mask": Case(masked([0, 0, 0, 3, 4, 4, 1, 2]), first=3, width=12),
    "masked dice and ce, an empty process": Case(masked([4, 1, 2, 3, 4, 4, 1, 2]), first=8, width=12),
    "masked dice and ce, no mask anywhere": Case(masked([0] * 8), first=3, width=12),
    "cross pseudo-supervision": Case(cross_supervision, width=12),
    "cross pseudo-supervision, unequal": Case(cross_supervision, first=3, width=12),
    "cross pseudo-supervision, an empty process": Case(cross_supervision, first=0, width=12),
    "pyramid consistency": Case(agreement(PyramidConsistencyLoss()), first=3, views=4, width=12),
    "pyramid consistency, an empty process": Case(agreement(PyramidConsistencyLoss()), first=0, views=4, width=12),
    "mutual consistency": Case(agreement(MutualConsistencyLoss()), first=3, views=3, width=12),
    "mutual consistency, an empty process": Case(agreement(MutualConsistencyLoss()), first=8, views=3, width=12),
    "where it is certain": Case(certain(0.65), first=3, width=12),
    "where it is certain, a process that is not": Case(certain(0.39), width=12),
    "where it is certain, an empty process": Case(certain(0.65), first=8, width=12),
    "where it is certain, nowhere": Case(certain(0.0), first=3, width=12),
    "filter independence": Case(independence),
    "dual task": Case(dual_task, width=12),
    "dual task, unequal": Case(dual_task, first=3, width=12),
    "dual task, an empty process": Case(dual_task, first=8, width=12),
}
