# SPDX-License-Identifier: Apache-2.0
"""Stops a run whose loss is no longer finite, without a wait for the host at every step."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_cl_ext.distributed import failing_together


class FiniteLoss:
    """Raises FloatingPointError at the end of an epoch in which the loss was NaN or infinite.

    The check stays on the device during the epoch. Attach it before the handlers that validate and save, so that no
    time is lost: the run can be resumed from the last good epoch. A step that breaks the weights after the last loss
    of an epoch is found by those that save. Of several processes all raise what one has found. (Ignite's TerminateOnNan
    reads the loss at every iteration.)
    """

    def __init__(self) -> None:
        self.finite: Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Looks at ``engine.state.output[0]["loss"]``, as MONAI's trainers leave it."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def epoch_started(self, engine: Engine) -> None:
        """Forgets the last epoch."""
        self.finite = None

    def iteration_completed(self, engine: Engine) -> None:
        """Notes on the device whether the loss is finite."""
        finite = torch.isfinite(torch.as_tensor(engine.state.output[0]["loss"]).detach()).all()
        self.finite = finite if self.finite is None else self.finite & finite

    def epoch_completed(self, engine: Engine) -> None:
        """Reads the note; raises FloatingPointError when it is bad."""
        with failing_together():
            if self.finite is not None and not bool(self.finite):
                raise FloatingPointError(
                    f"the loss became NaN or infinite in epoch {engine.state.epoch}, expected a finite number; lower "
                    "the learning rate or raise the temperature and start anew, or repair broken images and resume "
                    "from the last good epoch"
                )
