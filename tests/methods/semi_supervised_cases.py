# SPDX-License-Identifier: Apache-2.0
"""Small networks, batches and the semi-supervised methods, one entry each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from monai_cl_ext.losses import MaskedDiceCELoss
from monai_cl_ext.methods import (
    BCP,
    DAN,
    DTC,
    UAMT,
    URPC,
    Adversary,
    CauSSL,
    CrossPseudoSupervision,
    EMASelfTraining,
    MCNet,
    MeanTeacher,
    SASSNet,
    SemiSupervised,
    UniMatch,
)
from monai_cl_ext.networks import Evaluator

SUPERVISED = DiceCELoss(
    to_onehot_y=True, softmax=True, squared_pred=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5, lambda_dice=0.5,
    lambda_ce=0.5,
)  # fmt: skip
MASKED = MaskedDiceCELoss()


def certain(network: nn.Module) -> nn.Module:
    """The network with large logits, so that its entropy is small in places; a new one is sure of little."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.out_channels == 3:
                layer.weight.mul_(20)
    return network


def evaluator(classes: int = 3, dims: int = 2, width: int = 4, learning_rate: float = 1e-3) -> Adversary:
    """A narrow evaluator of maps and images of one channel, with its optimizer."""
    torch.manual_seed(2)
    optimizer = partial(torch.optim.Adam, lr=learning_rate, betas=(0.9, 0.99))
    return Adversary(Evaluator(classes, 1, dims, width), optimizer)


METHODS: dict[str, Callable[..., SemiSupervised]] = {
    "MeanTeacher": lambda make, labelled=2, **more: MeanTeacher(make(0), SUPERVISED, labelled, **more),
    "UAMT": lambda make, labelled=2, **more: UAMT(
        certain(make(0)), SUPERVISED, labelled, **{"threshold_steps": 9, **more}
    ),
    "URPC": lambda make, labelled=2, **more: URPC(make(0), SUPERVISED, labelled, **more),
    "MCNet": lambda make, labelled=2, **more: MCNet(make(0), SUPERVISED, labelled, **more),
    "CrossPseudoSupervision": lambda make, labelled=2, **more: CrossPseudoSupervision(
        make(0), make(1), SUPERVISED, labelled, **more
    ),
    "CauSSL": lambda make, labelled=2, **more: CauSSL(
        make(0), make(1), SUPERVISED, labelled, **{"begin": 1, "every": 2, **more}
    ),
    "EMASelfTraining": lambda make, labelled=2, warm_up_steps=2, **more: EMASelfTraining(
        make(0), SUPERVISED, labelled, warm_up_steps, **more
    ),
    "BCP": lambda make, labelled=2, warm_up_steps=2, **more: BCP(make(0), MASKED, labelled, warm_up_steps, **more),
    "DAN": lambda make, labelled=2, **more: DAN(make(0), SUPERVISED, labelled, evaluator(), **more),
    "DTC": lambda make, labelled=2, **more: DTC(make(0), SUPERVISED, labelled, **more),
    "SASSNet": lambda make, labelled=2, **more: SASSNet(make(0), SUPERVISED, labelled, evaluator(2), **more),
    "UniMatch": lambda make, labelled=2, **more: UniMatch(make(0), SUPERVISED, labelled, **more),
}


def convolutions(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Three classes of a pixel's neighborhood, normalized by the batch."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 1)
    return nn.Sequential(*layers).to(dtype)


def unet(seed: int = 0, dtype: torch.dtype = torch.float32) -> BasicUNet:
    torch.manual_seed(seed)
    return BasicUNet(2, 1, 3, features=(4, 4, 4, 4, 8, 4), norm="batch").to(dtype)


def views(rows: int = 4, size: int = 16, count: int = 1, dtype: torch.dtype = torch.float32) -> list[dict[str, Tensor]]:
    """Views of images, which differ from each other; labels of all rows."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(3, (rows, 1, size, size), generator=generator, dtype=torch.uint8)
    return [
        {"image": torch.randn(rows, 1, size, size, generator=generator).to(dtype), "label": label} for _ in range(count)
    ]


def parts(losses: dict[str, Tensor], method: SemiSupervised) -> tuple[Tensor, Tensor]:
    """The supervised part and the consistency, after a look at their sum, to which CauSSL adds one more."""
    total = losses["supervised"] + method.consistency_weight * losses["consistency"]
    if "independence" in losses:
        total = total + method.independence_weight * losses["independence"]
    assert losses["loss"].item() == total.item() and losses["consistency"].item() > 0
    return losses["supervised"], losses["consistency"]


def gradients(loss: Tensor, module: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters()), retain_graph=True))
