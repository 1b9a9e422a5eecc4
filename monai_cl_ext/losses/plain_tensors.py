# SPDX-License-Identifier: Apache-2.0
"""Losses and methods take MONAI's MetaTensors as plain tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from monai_cl_ext.losses.rules import Rule

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def plain_tensors(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator: tensors of a subclass reach ``function`` as plain tensors, with their gradient and without a copy.

    Tensors are looked for among the arguments, in lists and tuples of them, and in the tags of rules.
    """

    @wraps(function)
    def with_plain_tensors(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return function(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()})

    return with_plain_tensors


def plain(value: Any) -> Any:
    """A tensor of a subclass as a plain one, also those in lists, tuples and mappings and in the tags of rules."""
    if isinstance(value, Tensor):
        return value if type(value) is Tensor else value.as_subclass(Tensor)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value.map_tags(plain) if isinstance(value, Rule) else value
