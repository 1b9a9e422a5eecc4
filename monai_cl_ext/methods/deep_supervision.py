# SPDX-License-Identifier: Apache-2.0
"""Deep supervision: networks that give several maps of logits in training, and the loss of them all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DeepSupervisionLoss
from torch import Tensor, nn
from torch.nn.functional import interpolate

from monai_cl_ext.device_checks import check_classes
from monai_cl_ext.numerics import at_least_float32

OUTPUTS = "num_classes must count every class of the labels and the background, and so must the network's outputs"


def maps_of(result: Tensor | Sequence[Tensor], image: Tensor) -> list[Tensor]:
    """The maps of logits (B, classes, *S) in a network's result, the finest first; one without deep supervision.

    Args:
        result: logits; or stacked maps (B, maps, classes, *S), as MONAI's DynUNet gives in training; or a list of maps
            of any sizes, as its SegResNetDS does.
        image: what the network was given, (B, C, *S).
    """
    if isinstance(result, Tensor):
        return list(result.unbind(1)) if result.ndim > image.ndim else [result]
    return list(result)


def supervised_loss(loss: nn.Module, maps: Sequence[Tensor], *targets: Tensor) -> Tensor:
    """The loss of a network's maps: of several the weighted sum, as ``monai.losses.DeepSupervisionLoss`` has it.

    Map number n, from 0, weighs max(2^-n, 1/16); a ``DeepSupervisionLoss`` around the loss says other weights. Targets
    are resized to smaller maps, nearest-exact. One map gives the loss itself.

    Args:
        loss: of logits and targets.
        maps: what :func:`maps_of` gives.
        targets: (B, K, *S), or what else the loss of one map takes.
    """
    weighted = loss if isinstance(loss, DeepSupervisionLoss) else DeepSupervisionLoss(loss)
    if len(maps) == 1:
        return loss_of(weighted.loss, maps[0], *targets)
    losses = [
        weight
        * loss_of(weighted.loss, each.to(at_least_float32(each.dtype)), *(_resized(target, each) for target in targets))
        for weight, each in zip(weighted.get_weights(len(maps)), maps, strict=True)
    ]
    return torch.stack(losses).sum()


def loss_of(loss: nn.Module, logits: Tensor, *targets: Tensor) -> Tensor:
    """The loss of one map of logits.

    Raises:
        ValueError: on the CPU, when it fails and a label is no class of the logits.
    """
    try:
        return loss(logits, *targets)
    except (IndexError, RuntimeError):
        classes = logits.shape[1]
        for label in targets[:1]:
            if label.device.type == "cpu" and not label.is_floating_point() and classes > 1:
                check_classes("label", label[label != getattr(loss, "ignore_index", -100)], classes, OUTPUTS)
        raise


def only_map(method: nn.Module, result: Tensor | Sequence[Tensor], image: Tensor) -> Tensor:
    """The logits of a network in a method that can train no deep supervision.

    Raises:
        ValueError: when the network gives several maps.
    """
    maps = maps_of(result, image)
    if len(maps) > 1:
        raise ValueError(
            f"{type(method).__name__} trains one map of logits, found {len(maps)} of a network with deep supervision:"
            " build the network without it"
        )
    return maps[0]


def refuse_deep_supervision(method: nn.Module, network: nn.Module) -> None:
    """Refuses a network whose heads of deep supervision a method would leave untrained, since it sees its stages alone.

    Raises:
        ValueError: when the network says that it has deep supervision, as MONAI's do.
    """
    if getattr(network, "deep_supervision", False):
        raise ValueError(
            f"{type(method).__name__} trains one map of logits of {type(network).__name__}, which was built with deep"
            " supervision: build the network without it"
        )


def _resized(target: Tensor, logits: Tensor) -> Tensor:
    size = logits.shape[2:]
    if target.shape[2:] == size:
        return target
    return interpolate(target.to(at_least_float32(target.dtype)), size=size, mode="nearest-exact").to(target.dtype)
