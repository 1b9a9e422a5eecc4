# SPDX-License-Identifier: Apache-2.0
"""One bar for a whole training, over its steps."""

from __future__ import annotations

from typing import Protocol

from ignite.engine import Engine, Events
from tqdm import tqdm


class TrainingHandler(Protocol):
    """What shows how far a training is."""

    def attach(self, engine: Engine) -> None:
        """Adds its handlers to the engine before it runs."""


class TrainingBar:
    """A bar on standard error from the first step of a training, or the one that it goes on with, to the last.

    Ignite's ``ProgressBar`` begins a new bar with each epoch.
    """

    def attach(self, engine: Engine) -> None:
        """Shows the bar while the engine runs."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        total = engine.state.max_epochs * engine.state.epoch_length
        self.bar = tqdm(total=total, initial=engine.state.iteration, unit="step", leave=False)

    def _step(self, engine: Engine) -> None:
        self.bar.update()

    def _end(self, engine: Engine) -> None:
        self.bar.close()
