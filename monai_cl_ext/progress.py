# SPDX-License-Identifier: Apache-2.0
"""How far a work is and how long it will still take: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from typing import Any

from tqdm import tqdm

SECONDS = 60.0
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} passed, {remaining} to go"


class _Lines:
    """Standard error for a bar whose states are written as lines."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Does nothing, since lines are flushed as they are written."""


def on_terminal() -> bool:
    """Whether standard error, where progress is shown, is a terminal."""
    return sys.stderr.isatty()


def progress_bar(
    items: Iterable | None = None,
    description: str = "",
    total: int | None = None,
    *,
    unit: str = "step",
    done: int = 0,
    seconds: float = SECONDS,
    quiet: bool = False,
) -> tqdm:
    """A tqdm bar on standard error; where that is no terminal, such as a log file or a pipe, a line now and then.

    The time to go is by the mean of the whole work, pauses for a validation included. The bar vanishes at the end.

    Args:
        items: to go through; None for a bar that is told of each step by ``update()``.
        description: what the work is.
        total: number of steps; that of the items by default.
        unit: name of one step.
        done: steps that were done before.
        seconds: between two lines, and before the first one.
        quiet: shows nothing. A work of one step shows nothing either.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    lines: dict[str, Any] = {} if on_terminal() else {
        "file": _Lines(), "bar_format": LINE, "mininterval": seconds, "delay": seconds, "miniters": 1
    }  # fmt: skip
    return tqdm(
        items, description, total, leave=False, unit=unit, initial=done, smoothing=0, dynamic_ncols=not lines,
        disable=quiet or total == 1, **lines,
    )  # fmt: skip
