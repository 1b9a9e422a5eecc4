# SPDX-License-Identifier: Apache-2.0
"""An adversary: a network that learns against the one that a method trains, with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam, Optimizer

from monai_cl_ext.distributed import sum_over_processes, world_size

ADAM = partial(Adam, lr=2e-4, betas=(0.5, 0.999))
"""Makes the discriminator's optimizer of DiRA (Haghighi et al., CVPR 2022)."""


class Adversary(nn.Module):
    """A discriminator and its optimizer, which a method moves in ``after_step()``.

    Two losses, and neither reaches the other's network: called as a module it gives its verdict with its weights fixed,
    through which a loss of the method reaches the method's network alone; :meth:`learn` takes a loss of the
    discriminator's own, of images that the method detaches. Its parameters require no gradient, so the trainer's
    optimizer, the clipping of gradients and DistributedDataParallel pass them over.

    Gradients of micro-batches and of all processes are averaged before each step.

    Args:
        discriminator: from images (B, C, *S) and whatever else it is called with to its verdict.
        optimizer: makes the optimizer of its parameters; DiRA's by default.

    Attributes:
        optimizer: a method names it in ``optimizers``, so that a resumed run goes on with it.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = ADAM,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator.requires_grad_(False)
        self.optimizer = optimizer(discriminator.parameters())
        self._gradient: Tensor | None = None  # sum over the micro-batches since the last step
        self._micro_batches = 0

    def forward(self, *inputs: Any) -> Any:
        """The verdict on inputs, for a loss of the method."""
        return self.discriminator(*inputs)

    def learn(self, loss: Callable[[Callable[..., Any]], Tensor]) -> Tensor:
        """Keeps the gradient of a loss of the discriminator's own for the next step; in training only.

        Args:
            loss: of the discriminator, which it is called with.

        Returns:
            The loss, detached.
        """
        weights = {name: weight.detach().requires_grad_() for name, weight in self.discriminator.named_parameters()}
        value = loss(lambda *inputs: functional_call(self.discriminator, weights, inputs))
        if self.training and torch.is_grad_enabled():
            gradients = torch.autograd.grad(value, list(weights.values()))
            gradient = torch.cat([part.flatten() for part in gradients])
            self._gradient = gradient if self._gradient is None else self._gradient.add_(gradient)
            self._micro_batches += 1
        return value.detach()

    def step(self) -> None:
        """One step of the optimizer along the gradients since the last one; every process has to call it."""
        if self._gradient is None:
            return
        gradient = sum_over_processes(self._gradient / self._micro_batches) / world_size()
        self._gradient, self._micro_batches = None, 0
        weights = list(self.discriminator.parameters())
        for weight, part in zip(weights, gradient.split([weight.numel() for weight in weights]), strict=True):
            weight.grad = part.view_as(weight)
        self.optimizer.step()
        self.optimizer.zero_grad()
