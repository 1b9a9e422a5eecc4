# SPDX-License-Identifier: Apache-2.0
"""Parameter groups with and without weight decay."""

from __future__ import annotations

from typing import Any

from torch import nn


def weight_decay_groups(module: nn.Module) -> list[dict[str, Any]]:
    """An optimizer's two groups: first the parameters under weight decay, then biases and vectors, without.

    Names that end in "bias" and parameters of one axis, such as the scales of a norm, are not pulled towards zero, as
    in DINO's release. Parameters that require no gradient are in neither group.

    Args:
        module: the method, or its DistributedDataParallel wrapper.

    Returns:
        The groups; the first takes the optimizer's ``weight_decay``, and a schedule may move it, the second has 0.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (free if name.endswith("bias") or parameter.ndim <= 1 else decayed).append(parameter)
    return [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
