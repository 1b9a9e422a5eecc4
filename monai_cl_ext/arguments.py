# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: each returns the value, or says what was found, what was expected."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import TypeVar

Value = TypeVar("Value")


def positive_number(name: str, value: float) -> float:
    """The finite number ``value`` above zero, or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < float("inf"):
        raise ValueError(f"{name} must be a finite number above 0, found {value!r}")
    return float(value)


def positive_integer(name: str, value: int) -> int:
    """The integer ``value`` of at least 1, or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, found {value!r}")
    return int(value)


def probability(name: str, value: float) -> float:
    """The number ``value`` in [0, 1], or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, found {value!r}")
    return float(value)


def one_of(name: str, value: Value, choices: Collection[Value]) -> Value:
    """The ``value`` if it is among ``choices``, or a ValueError that lists them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(repr(choice) for choice in choices)}, found {value!r}")
    return value
