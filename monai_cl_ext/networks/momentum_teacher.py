# SPDX-License-Identifier: Apache-2.0
"""A network that follows another one slowly."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.layers import DropPath
from torch import nn

RANDOM = (nn.modules.dropout._DropoutNd, DropPath)


class MomentumTeacher(nn.Module):
    """Holds a network whose parameters are the moving average of a student's (Caron et al. 2021; Tarvainen 2017).

    Only parameters follow the student. Buffers are the teacher's own: in training, batch normalisation takes the
    statistics of the teacher's batch, as in DINO's release, and its running statistics fit the teacher's weights.
    Dropout and stochastic depth are off, so that targets are not noisy.

    Args:
        network: becomes the teacher, and takes no gradient from here on. Its copy, ``copy.deepcopy(network)`` made
            before, is a student that starts where the teacher does.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.train(self.training)

    @torch.no_grad()
    def forward(self, x: Any) -> Any:
        """What the network gives for ``x``, without gradient."""
        return self.network(x)

    @torch.no_grad()
    def update(self, student: nn.Module, momentum: float) -> None:
        """Moves each parameter to momentum * teacher + (1 - momentum) * student, matched by name, on the device.

        Args:
            student: a network of the same parameters.
            momentum: from 0, the teacher becomes the student, to 1, it stays.

        Raises:
            ValueError: when the names of the parameters differ.
        """
        own, other = dict(self.network.named_parameters()), dict(student.named_parameters())
        if own.keys() != other.keys():
            unlike = sorted(own.keys() ^ other.keys())
            raise ValueError(
                f"teacher and student must have the same parameters, {len(unlike)} belong to one alone, such as"
                f" {unlike[:4]}: make one a copy of the other"
            )
        torch._foreach_lerp_(list(own.values()), [other[name] for name in own], 1 - momentum)

    def train(self, mode: bool = True) -> MomentumTeacher:
        """Training mode, but for what is random."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, RANDOM):
                module.eval()
        return self
