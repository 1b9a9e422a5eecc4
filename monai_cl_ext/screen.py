# SPDX-License-Identifier: Apache-2.0
"""What a user sees of a command, and what goes to its log file instead."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TypeAlias

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


Say: TypeAlias = Callable[[str], None]
"""Prints a line for the user at once, so that the order is right beside the bars of standard error."""


@contextmanager
def logged_to(path: Path) -> Iterator[Say]:
    """Sends warnings, and what libraries log or print, to the end of a file alone; gives what shows lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    screen = sys.stdout
    with path.open("a", encoding="utf-8") as file, redirect_stdout(file):
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter(FORMAT))
        root = logging.getLogger()
        before = {one: (list(one.handlers), one.level) for one in (root, *_with_handlers())}
        for one in before:  # MONAI's own loggers write to the screen
            one.handlers = [handler] if one is root or not one.propagate else []
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            yield partial(print, file=screen, flush=True)
        finally:
            logging.captureWarnings(False)
            for one, (handlers, level) in before.items():
                one.handlers = handlers
                one.setLevel(level)
            for new in {new for one in _with_handlers() for new in one.handlers}:
                if isinstance(new, logging.StreamHandler) and new.stream is file:  # loggers that were made meanwhile
                    new.setStream(screen)


def _with_handlers() -> list[logging.Logger]:
    known = list(logging.getLogger().manager.loggerDict.values())
    return [one for one in known if isinstance(one, logging.Logger) and one.handlers]
