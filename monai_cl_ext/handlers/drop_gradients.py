# SPDX-License-Identifier: Apache-2.0
"""Keeps a module still during the first epochs or steps."""

from __future__ import annotations

from monai.engines.utils import IterationEvents
from torch import nn

from monai_cl_ext.engines import MethodTrainer


class DropGradients:
    """Drops a module's gradients during the first epochs or steps, so that no optimizer moves it or counts a step.

    DINO does so with the last layer of its head (Caron et al. 2021). The gradients are still computed, so that
    DistributedDataParallel sees the same parameters in every epoch.

    Args:
        module: its own and its submodules' parameters stay.
        epochs: number of epochs.
        steps: number of steps of the optimizer, as the engine's method counts them.
    """

    def __init__(self, module: nn.Module, epochs: int = 1, steps: int = 0) -> None:
        self.module = module
        self.epochs = epochs
        self.steps = steps

    def attach(self, engine: MethodTrainer) -> None:
        """Drops after each backward pass."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: MethodTrainer) -> None:
        """Drops now, in an epoch or a step that is among the first."""
        if engine.state.epoch <= self.epochs or (self.steps and engine.method.iteration < self.steps):
            self.module.zero_grad(set_to_none=True)
