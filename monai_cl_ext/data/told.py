# SPDX-License-Identifier: Apache-2.0
"""Keeps what is warned of while a volume is prepared, to be told again where it is not read again."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Told = list[tuple[type[Warning], str]]
"""Category and message of each warning."""

KEPT: dict[str, type[Warning]] = {kind.__name__: kind for kind in (UserWarning, RuntimeWarning)}
"""Categories that are about the data; what is deprecated is of no interest later."""


class _Listener(threading.local):
    told: Told | None = None


_listener = _Listener()


@contextmanager
def listening() -> Iterator[None]:
    """Hears the warnings of all threads meanwhile: those inside :func:`heard` are kept, the others are shown.

    ``warnings.catch_warnings`` serves all threads at once, so it stands round the threads and not in them.
    """
    with warnings.catch_warnings():
        show = warnings.showwarning
        warnings.simplefilter("always")

        def listen(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if _listener.told is None:
                show(message, category, *place, **more)
            else:
                _listener.told.append((category, str(message)))

        warnings.showwarning = listen
        yield


@contextmanager
def heard() -> Iterator[Told]:
    """The warnings of this thread from here to the end of the block."""
    told: Told = []
    _listener.told = told
    try:
        yield told
    finally:
        _listener.told = None
