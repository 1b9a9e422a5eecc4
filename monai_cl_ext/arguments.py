# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: each returns the value, or says what was found, what was expected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

Value = TypeVar("Value")


def positive_number(name: str, value: float) -> float:
    """The finite number ``value`` above zero, or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < float("inf"):
        raise ValueError(f"{name} must be a finite number above 0, found {value!r}")
    return float(value)


def weight(name: str, value: float) -> float:
    """The finite number ``value`` of at least zero, or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < float("inf"):
        raise ValueError(f"{name} must be a finite number of at least 0, found {value!r}")
    return float(value)


def positive_integer(name: str, value: int) -> int:
    """The integer ``value`` of at least 1, or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, found {value!r}")
    return int(value)


def whole_number(name: str, value: int) -> int:
    """The integer ``value`` of at least 0, or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ValueError(f"{name} must be an integer of at least 0, found {value!r}")
    return int(value)


def probability(name: str, value: float) -> float:
    """The number ``value`` in [0, 1], or a ValueError that names ``name``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, found {value!r}")
    return float(value)


def per_axis(name: str, value: Any, axes: int, check: Callable[[str, Any], Value]) -> tuple[Value, ...]:
    """A size or spacing as a tuple of one number for each axis; a single number serves all axes.

    Args:
        name: of the argument.
        value: one number, or as many as there are axes.
        axes: number of axes, 2 or 3.
        check: of each number, called with ``name`` too; raises a ValueError for a bad one.

    Raises:
        ValueError: when there are more or fewer numbers, or one is bad.
    """
    several = isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) != 0
    numbers = tuple(value) if several else (value,) * axes
    if len(numbers) != axes:
        words = {2: "two", 3: "three"}.get(axes, str(axes))
        raise ValueError(f"{name} must be one number, or {words}, one for each axis, found {value!r}")
    return tuple(check(name, number) for number in numbers)


def one_of(name: str, value: Value, choices: Collection[Value]) -> Value:
    """The ``value`` if it is among ``choices``, or a ValueError that lists them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(repr(choice) for choice in choices)}, found {value!r}")
    return value


def as_list(value: Any) -> list[Any]:
    """A list of values; one value alone, or text with commas, is one as well."""
    if isinstance(value, str):
        return [item.strip() for item in value.strip("[]() ").split(",") if item.strip()]
    return list(value) if isinstance(value, Sequence) else [value]


def named_values(name: str, value: Any) -> dict[str, Any]:
    """The values of an option by their names; none where it was not given.

    Raises:
        ValueError: when it is no mapping, such as text that Fire could not read.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{name}: expected values by name such as {{epochs: 15, folder: '/data'}}, found {value!r}; texts with "
            "other signs than letters and digits need quotes of their own"
        )
    return {str(key): item for key, item in value.items()}
