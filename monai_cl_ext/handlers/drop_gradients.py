# SPDX-License-Identifier: Apache-2.0
"""Keeps a module still during the first epochs."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import nn


class DropGradients:
    """Drops a module's gradients during the first epochs, so that no optimizer moves it.

    DINO does so with the last layer of its head (Caron et al. 2021). The gradients are still computed, so that
    DistributedDataParallel sees the same parameters in every epoch.

    Args:
        module: its own and its submodules' parameters stay.
        epochs: number of epochs.
    """

    def __init__(self, module: nn.Module, epochs: int = 1) -> None:
        self.module = module
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        """Drops after each backward pass."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Drops now, in an epoch that is among the first."""
        if engine.state.epoch <= self.epochs:
            self.module.zero_grad(set_to_none=True)
