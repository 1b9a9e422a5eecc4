# SPDX-License-Identifier: Apache-2.0
"""What a user sees of a command, and what goes to its log file instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def say(text: str) -> None:
    """Prints at once, so that the order is right beside the bars of standard error."""
    print(text, flush=True)


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Sends warnings and what libraries log to a file alone; it is added to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger) and one.handlers]
    before = {one: (list(one.handlers), one.level) for one in (root, *loggers)}
    for one in before:  # MONAI's own loggers write to the screen
        one.handlers = [file] if one is root or not one.propagate else []
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for one, (handlers, level) in before.items():
            one.handlers = handlers
            one.setLevel(level)
        file.close()
