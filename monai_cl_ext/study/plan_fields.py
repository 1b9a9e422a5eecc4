# SPDX-License-Identifier: Apache-2.0
"""What each field of a plan may hold, whoever wrote it: a command, or a file from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from monai_cl_ext.study.problems import PROBLEMS
from monai_cl_ext.study.splits import PARTS

LONGEST_NAME = 100
BEST = "best"
"""As a reference of comparisons: the method of the best mean at each number of labeled patients; no method's name."""


def refuse_wrong_fields(plan: Any) -> None:
    """Refuses a plan with a value that no plan can have.

    Args:
        plan: with the attributes of :class:`Plan`.

    Raises:
        ValueError: names the field, what was found and what is expected.
    """
    for name, (fits, expected) in FIELDS.items():
        value = getattr(plan, name)
        if not fits(value):
            text = repr(value)
            found = text if len(text) <= 200 else f"{text[:200]}..."
            raise ValueError(f"{name} must be {expected}, found {found}")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < float("inf")


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _texts(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _methods(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(_texts(name) and len(name) <= LONGEST_NAME and _texts(bundle) for name, bundle in value.items())
        and BEST not in value
    )


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _case(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and all(isinstance(name, str) for name in value)
        and all(isinstance(item, str) or (name == "image" and _list_of(_texts)(item)) for name, item in value.items())
        and all(value.get(name) for name in ("image", "patient"))
    )


def _split(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {*PARTS} and all(_list_of(_case)(part) for part in value.values())


def _classes(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and list(value) == list(range(1, len(value) + 1))
        and all(isinstance(name, str) for name in value.values())
        and len(set(value.values())) == len(value)
    )


SETTINGS = (_settings, "a mapping from ids of a configuration to values")
NESTED = (
    lambda value: _settings(value) and all(map(_settings, value.values())),
    "a mapping from names to such mappings as pretrain_settings",
)
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "methods": (_methods, f"a mapping from names of at most {LONGEST_NAME} characters, but {BEST!r}, to bundles"),
    "labelled": (lambda value: bool(value) and _list_of(_whole)(value), "numbers of patients of at least 1"),
    "draws": (_whole, "an integer of at least 1"),
    "seeds": (_whole, "an integer of at least 1"),
    "splits": (
        lambda value: bool(value) and _list_of(_split)(value),
        f"for each fold the lists {', '.join(PARTS)} of cases with an image and a patient",
    ),
    "classes": (_classes, "different names of the labels 1, 2, ..."),
    "settings": SETTINGS,
    "pretrain_settings": SETTINGS,
    "stage_settings": NESTED,
    "method_settings": NESTED,
    "train_settings": SETTINGS,
    "scratch_learning_rates": (_list_of(_positive), "a list of numbers above 0"),
    "pretrained_learning_rates": (_list_of(_positive), "a list of numbers above 0"),
    "use_spacing": (_flag, "True or False"),
    "tolerance": (_positive, "a number above 0"),
    "transductive": (_flag, "True or False"),
    "folders": (_list_of(_texts), "a list of folders"),
    "problem": (lambda value: value in PROBLEMS, f"one of {', '.join(PROBLEMS)}"),
}
