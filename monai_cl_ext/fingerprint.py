# SPDX-License-Identifier: Apache-2.0
"""What an object of a run is made of, in plain values that can be written to a file and compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


def fingerprint(value: Any) -> Any:
    """Plain values that are equal when two objects were built alike.

    Numbers, strings and None stay; tensors and sequences become lists, mappings dictionaries. Any other object becomes
    the name of its class and its public attributes (an optimizer its defaults, a module also its children), so of a
    function only its being one is compared; of ``functools.partial`` the function's name and the arguments. Take it
    before training: it does not tell settings from state.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return value.detach().cpu().tolist()
    if isinstance(value, (list, tuple)):
        return [fingerprint(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): fingerprint(item) for key, item in value.items()}
    if isinstance(value, partial):
        return [getattr(value.func, "__name__", "partial"), fingerprint({"args": value.args, **value.keywords})]
    facts = value.defaults if isinstance(value, Optimizer) else getattr(value, "__dict__", {})
    if isinstance(value, nn.Module):
        facts = {**facts, **dict(value.named_children())}
    return [type(value).__name__, {key: fingerprint(item) for key, item in facts.items() if not key.startswith("_")}]
