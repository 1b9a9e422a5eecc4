# SPDX-License-Identifier: Apache-2.0
"""The configuration that a run is built from, with everything that was given on its command line."""

from __future__ import annotations

import inspect
import re
from typing import Any, TypeVar

from monai.bundle import ConfigParser

PARSED = re.compile(r"@\w+(?:::\w+)+")
"""An id within an id, as MONAI's parser rewrites it."""

Caller = TypeVar("Caller")


def config_being_built() -> dict[str, Any] | None:
    """The configuration whose component is being built, as MONAI laid it together; None outside of any.

    MONAI gives a component its arguments alone. The parser that builds it is among the callers, and it has the config
    files, their overlays and the options of the command line in one.
    """
    parser = caller_of(ConfigParser)
    if parser is None:
        return None
    return {name: as_written(value) for name, value in parser.get().items() if name != "_meta_"}


def caller_of(kind: type[Caller]) -> Caller | None:
    """The nearest object of a class of which a method is running; None where there is none."""
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, kind):
            return caller
        frame = frame.f_back
    return None


def as_written(value: Any) -> Any:
    """A part of a configuration with its references as config files have them: ``@train#dataset``."""
    if isinstance(value, str):
        return PARSED.sub(lambda found: found[0].replace("::", "#"), value)
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if isinstance(value, dict):
        return {name: as_written(item) for name, item in value.items()}
    return value
