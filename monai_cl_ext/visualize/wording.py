# SPDX-License-Identifier: Apache-2.0
"""Numbers, durations and lists in the sentences of a page."""

from __future__ import annotations

import math
from collections.abc import Iterable


def counted(number: int, name: str) -> str:
    """ "1 draw", "2 draws"."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def p_text(value: float) -> str:
    """ "p = 0.012", "p < 0.001"; empty for nan."""
    if math.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def listed(names: Iterable[str]) -> str:
    """ "a, b and c" """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
