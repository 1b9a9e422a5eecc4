# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average (EMA) of a student."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.layers import DropPath
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

STOCHASTIC = (nn.modules.dropout._DropoutNd, DropPath)


class MomentumTeacher(nn.Module):
    """Exponential moving average (EMA) of a student's parameters (Tarvainen and Valpola 2017; Caron et al. 2021).

    Only parameters are averaged. Buffers are the teacher's own: in training, batch normalization takes the statistics
    of the teacher's batch, so its running statistics fit the teacher's weights. Dropout and stochastic depth are off
    unless asked for.

    Args:
        network: becomes the teacher and is frozen. Its copy, ``copy.deepcopy(network)`` made before, is a student with
            the same initial weights.
        dropout: whether dropout and stochastic depth are on in training.
    """

    def __init__(self, network: nn.Module, dropout: bool = False) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.dropout = dropout
        self.train(self.training)

    @torch.no_grad()
    def forward(self, x: Any) -> Any:
        """The network's result for ``x``, without gradient."""
        return self.network(x)

    def update(self, student: nn.Module, momentum: float) -> None:
        """Sets each parameter to momentum * teacher + (1 - momentum) * student, matched by name, on the device.

        Args:
            student: a network that has all of the teacher's parameters; what else it has, such as a decoder, stays out.
            momentum: from 0, a copy of the student, to 1, an unchanged teacher; it may differ from call to call.

        Raises:
            ValueError: when the student lacks a parameter, or momentum is out of range.
        """
        own, other = dict(self.network.named_parameters()), dict(student.named_parameters())
        if missing := sorted(own.keys() - other.keys()):
            raise ValueError(
                f"the student must have all of the teacher's parameters, it lacks {len(missing)}, such as {missing[:4]}"
                ": make one a copy of the other"
            )
        get_ema_multi_avg_fn(momentum)(list(own.values()), [other[name] for name in own], None)

    def train(self, mode: bool = True) -> MomentumTeacher:
        """Sets the training mode; stochastic layers stay in evaluation mode unless dropout was asked for."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, STOCHASTIC) and not self.dropout:
                module.eval()
        return self
