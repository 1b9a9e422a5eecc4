# SPDX-License-Identifier: Apache-2.0
"""Watches what a computation on torch's meta device sends from the host, which on a GPU is a copy."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class HostToDevice(TorchDispatchMode):
    """Notes every operation that takes a tensor of the host and gives one of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if "cpu" in devices_of([args, kwargs]) and "meta" in devices_of(result):
            self.seen.append(str(func))
        return result


def devices_of(tree: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}
