# SPDX-License-Identifier: Apache-2.0
"""Sends the curves of a training to Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events, RemovableEventHandle
from ignite.handlers import WandBLogger
from torch.optim import Optimizer

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.distributed import rank
from monai_cl_ext.extras import need


class TrackWandB:
    """Logs losses, learning rates and validation metrics by Ignite's ``WandBLogger``, over the steps of the training.

    The run of Weights & Biases begins with the first epoch and ends with the training. Of the settings it gets what
    :func:`told_settings` leaves: no text, and so no name of a patient, a file or a folder. The first process logs.

    Args:
        evaluator: of the validation, whose metrics are logged.
        optimizer: whose learning rates are logged.
        interval: losses and learning rates are read from the device and logged each so many steps.
        settings: what makes the run what it is, such as ``train#settings`` of a bundle.
        run: arguments of ``wandb.init``, such as "project", "name" and "dir", which is made when missing.

    Raises:
        ImportError: without wandb, which the extra "wandb" installs.
    """

    def __init__(
        self,
        evaluator: Engine,
        optimizer: Optimizer,
        interval: int,
        settings: Mapping[str, Any],
        run: Mapping[str, Any],
    ) -> None:
        need("TrackWandB", "wandb", "wandb")
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.interval = positive_integer("interval", interval)
        self.run = {**run, "config": told_settings(settings)}
        self.logger: WandBLogger | None = None
        self.handles: list[RemovableEventHandle] = []

    def attach(self, engine: Engine) -> None:
        """Logs a trainer, and the validations of its evaluator."""
        if rank() == 0:
            engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
            engine.add_event_handler(Events.COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        if self.logger is not None:
            return
        if self.run.get("dir"):
            Path(self.run["dir"]).mkdir(parents=True, exist_ok=True)
        self.logger = WandBLogger(**self.run)
        every = Events.ITERATION_COMPLETED(every=self.interval)
        self.handles = [
            self.logger.attach_output_handler(
                engine, event_name=every, tag="train", output_transform=lambda output: output[0]
            ),
            self.logger.attach_opt_params_handler(engine, event_name=every, optimizer=self.optimizer),
            self.logger.attach_output_handler(
                self.evaluator,
                event_name=Events.COMPLETED,
                tag="validation",
                metric_names="all",
                global_step_transform=lambda *_: engine.state.iteration,
            ),
        ]

    def _end(self) -> None:
        if self.logger is None:
            return
        for handle in self.handles:
            handle.remove()
        self.logger.close()
        self.logger = None


def told_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and truth values as they are, lists of them too, of other objects the name of the class; no text."""
    told: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, (bool, int, float)):
            told[name] = value
        elif isinstance(value, (list, tuple)):
            if all(isinstance(item, (bool, int, float)) for item in value):
                told[name] = list(value)
        elif value is not None and not isinstance(value, (str, Mapping)):
            told[name] = type(value).__name__
    return told
