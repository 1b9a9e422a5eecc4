# SPDX-License-Identifier: Apache-2.0
"""The trainer of every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.methods import Method
from monai_cl_ext.transforms import PrepareViews

from .precision import autocast


class MethodTrainer(SupervisedTrainer):
    """MONAI's trainer for a method, which returns its own losses.

    Overrides the iteration alone. ``prepare_batch`` gives ``(views, tags, args, kwargs)`` and the method is called as
    ``method(views, *args, **kwargs)``, which returns a dictionary with "loss" and its parts. ``engine.state.output`` is
    ``[{"loss": ..., parts ...}]``, detached and still on the device: nothing here waits for the host; the batch's views
    and tags are in ``engine.state.views`` and ``engine.state.tags`` until the next batch comes. The method's
    ``after_step()`` and the clipping of gradients happen on real optimizer steps only, not on accumulated batches; its
    ``iteration`` is the number of steps before the present one. Several processes average their gradients once a step.

    Args:
        device: where to train.
        max_epochs: number of epochs.
        train_data_loader: gives collated batches.
        method: the method, or its DistributedDataParallel wrapper.
        optimizer: over the method's parameters.
        prepare_batch: makes views and tags of a batch, see ``transforms.PrepareViews``.
        amp: autocast to bfloat16, on CPU too where it has the kernels (see ``precision.autocast``); bfloat16 needs no
            scaling of gradients.
        maximum_gradient_norm: clip the norm of all gradients together to this; None leaves them.
        kwargs: everything else that ``monai.engines.SupervisedTrainer`` takes but ``compile``, such as
            ``train_handlers``. ``network`` is what federated clients exchange and MONAI Label loads: the method itself,
            unless it is given. ``amp_kwargs`` go to ``torch.autocast``.

    Raises:
        ValueError: when ``prepare_batch`` makes another number of views than the method takes, or moves views against
            each other that the method compares place by place; for ``compile=True`` and for float16.
    """

    def __init__(
        self,
        device: str | torch.device,
        max_epochs: int,
        train_data_loader: Iterable,
        method: nn.Module,
        optimizer: torch.optim.Optimizer,
        prepare_batch: Callable,
        amp: bool = False,
        maximum_gradient_norm: float | None = None,
        **kwargs: Any,
    ) -> None:
        own: Method = method.module if isinstance(method, DistributedDataParallel) else method  # type: ignore[assignment]
        if hasattr(prepare_batch, "policies"):
            own.check_views(len(prepare_batch.policies))
        if isinstance(prepare_batch, PrepareViews):
            own.check_alignment(prepare_batch.geometries)
        if kwargs.get("compile"):
            raise ValueError(
                "MethodTrainer compiles nothing, found compile=True: leave it out, and call network.compile() before "
                f"{type(own).__name__} gets the network, which serves methods that call it whole, such as Supervised"
            )
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=train_data_loader,
            network=kwargs.pop("network", method),
            optimizer=optimizer,
            loss_function=None,  # the method holds its losses
            prepare_batch=prepare_batch,
            decollate=False,
            optim_set_to_none=True,
            **kwargs,
        )
        if maximum_gradient_norm is not None:
            positive_number("maximum_gradient_norm", maximum_gradient_norm)
        self.maximum_gradient_norm = maximum_gradient_norm
        self.autocast = autocast(self.state.device, amp, **self.amp_kwargs)
        self.method, self.wrapped = own, method

    def _iteration(self, engine: MethodTrainer, batchdata: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        """One micro-batch: views, losses, gradients, and an optimizer step when the accumulation is full."""
        engine.state.views = engine.state.tags = None  # the last batch's go before this one's are made
        views, tags, args, kwargs = engine.prepare_batch(
            batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs
        )
        engine.state.views, engine.state.tags = views, tags
        position = (engine.state.iteration - 1) % engine.state.epoch_length
        engine.wrapped.train()
        engine.method.iteration = engine.steps_before(engine.state.epoch, position)
        if position % engine.accumulation_steps == 0:
            engine.optimizer.zero_grad(set_to_none=engine.optim_set_to_none)

        before, length = position - position % engine.accumulation_steps, engine.state.epoch_length
        together = min(engine.accumulation_steps, length - before)  # fewer at the end of an epoch
        last = position + 1 == before + together
        with engine._averaging(last):
            with engine.autocast:
                losses = engine.inferer(views, engine.wrapped, *args, **kwargs)
            engine.state.output = [{name: loss.detach() for name, loss in losses.items()}]
            engine.fire_event(IterationEvents.FORWARD_COMPLETED)
            engine.fire_event(IterationEvents.LOSS_COMPLETED)
            (losses["loss"] / together).backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if last:
            engine._step()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    def steps_before(self, epoch: int, position: int) -> int:
        """Optimizer steps before a batch, by the epoch and the batch's place in it, from 0."""
        in_an_epoch = -(-self.state.epoch_length // self.accumulation_steps)
        return (epoch - 1) * in_an_epoch + position // self.accumulation_steps

    def _averaging(self, last: bool) -> AbstractContextManager[object]:
        """Whether DistributedDataParallel averages the gradients: with the last micro-batch of a step alone."""
        if last or not isinstance(self.wrapped, DistributedDataParallel):
            return nullcontext()
        return self.wrapped.no_sync()

    def _step(self) -> None:
        if self.maximum_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.maximum_gradient_norm)
        self.optimizer.step()
        self.method.after_step()
