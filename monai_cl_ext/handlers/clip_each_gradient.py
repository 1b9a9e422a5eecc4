# SPDX-License-Identifier: Apache-2.0
"""Clips the gradient of each parameter by itself."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from torch.optim import Optimizer

from monai_cl_ext.arguments import positive_number


class ClipEachGradient:
    """Shortens each parameter's gradient to a norm, before each step of the optimizer (Caron et al. 2021, release).

    The trainer's ``maximum_gradient_norm`` bounds the norm of all gradients together; here each parameter has its own.
    It acts on whole steps, not on the batches that are accumulated for one, and never waits for the host.

    Args:
        optimizer: its parameters' gradients are clipped.
        maximum_norm: largest norm of one parameter's gradient.
    """

    def __init__(self, optimizer: Optimizer, maximum_norm: float = 3.0) -> None:
        self.optimizer = optimizer
        self.maximum_norm = positive_number("maximum_norm", maximum_norm)

    def attach(self, engine: Engine) -> None:
        """Hooks into the optimizer, which alone knows when a step is whole; the engine is not used."""
        self.optimizer.register_step_pre_hook(self)

    @torch.no_grad()
    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Clips now."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if gradients:
            norms = torch.stack(torch._foreach_norm(gradients))
            factors = (self.maximum_norm / (norms + 1e-6)).clamp(max=1)
            torch._foreach_mul_(gradients, list(factors.unbind()))
