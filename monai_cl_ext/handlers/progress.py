# SPDX-License-Identifier: Apache-2.0
"""Shows how far a run is and how long it will still take."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack

from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_cl_ext.distributed import rank
from monai_cl_ext.progress import SECONDS, on_terminal, progress_bar


class Progress:
    """One bar over all steps of a run on a terminal, a line now and then elsewhere, see ``progress.progress_bar``.

    (Ignite's ``ProgressBar`` begins a new bar with each epoch, and fills a log file with states of it.) A resumed run
    begins where it goes on. What loggers write to the terminal meanwhile goes above the bar. The first process shows
    it; nothing is read from the device. Attach it before ``StatsHandler``, which ends the handling of an exception.

    Args:
        name: of what is run, such as the stage.
        seconds: between two lines where there is no terminal.
    """

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.name = name
        self.seconds = seconds
        self.bar: tqdm | None = None
        self.redirected = ExitStack()

    def attach(self, engine: Engine) -> None:
        """Shows the progress of a trainer or an evaluator."""
        if rank() > 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED, self._end)
        if on_terminal():
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _epoch(self, engine: Engine) -> None:
        state = engine.state
        if self.bar is None:
            total = state.max_epochs * state.epoch_length
            self.bar = progress_bar(None, self.name, total, done=state.iteration, seconds=self.seconds)
            if on_terminal() and not self.bar.disable:
                from tqdm.contrib.logging import logging_redirect_tqdm

                self.redirected.enter_context(logging_redirect_tqdm(_loggers_of_the_screen()))
        if state.max_epochs > 1 and not self.bar.disable:
            self.bar.set_description_str(f"{self.name}, epoch {state.epoch} of {state.max_epochs}", refresh=False)

    def _step(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.update(engine.state.iteration - self.bar.n)

    def _end(self) -> None:
        self.redirected.close()
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def _fail(self, error: BaseException) -> None:
        """Leaves the terminal's line to what is told of the exception."""
        self._end()
        raise error


def _loggers_of_the_screen() -> list[logging.Logger]:
    """Loggers that write to standard output or error themselves; MONAI has several."""
    known = [logging.root, *logging.root.manager.loggerDict.values()]
    screen = (sys.stdout, sys.stderr)
    return [
        one
        for one in known
        if isinstance(one, logging.Logger) and any(getattr(each, "stream", None) in screen for each in one.handlers)
    ]
