# SPDX-License-Identifier: Apache-2.0
"""Looks for NaN and infinity in tensors that are saved or loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm


def check_finite(path: Path, content: Any) -> None:
    """Checks that all that is about to be saved is finite.

    Args:
        path: file that it is meant for.
        content: a tensor, or nested mappings and lists of tensors and plain values.

    Raises:
        FloatingPointError: when a tensor holds NaN or infinity; it names the tensor and the file.
    """
    bad = not_finite(content)
    if bad:
        raise FloatingPointError(
            f"{path} was not written: NaN or infinite are {first_few(bad)}. Lower the learning rate or clip the"
            " gradients and start anew, or repair broken images and resume from the last good state"
        )


@torch.no_grad()
def not_finite(content: Any) -> list[str]:
    """The tensors that hold NaN or infinity, each as "method.conv.weight (3 of 24 values)".

    Floating point and complex tensors are looked at. All are reduced to one number on their device, which is the one
    wait for the host unless something is found.

    Args:
        content: a tensor, or nested mappings and lists of tensors and plain values.
    """
    tensors = dict(_floating(content, ()))
    # a finite norm means finite values; the norm of large finite values may overflow, so then each tensor tells
    if not tensors or bool(torch.isfinite(get_total_norm(list(tensors.values())))):
        return []
    counts = {name: int((~torch.isfinite(tensor)).sum()) for name, tensor in tensors.items()}
    return [f"{name} ({count} of {tensors[name].numel()} values)" for name, count in counts.items() if count]


def first_few(names: Sequence[str], count: int = 4) -> str:
    """The first ``count`` names, and how many more there are."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _floating(content: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """The tensors that can hold NaN, by dotted name; float8 as float32, since torch has no arithmetic of it."""
    if isinstance(content, Tensor):
        if content.numel() and (content.is_floating_point() or content.is_complex()):
            dense = content if content.layout == torch.strided else content.to_dense()
            yield ".".join(path) or "the tensor", dense if dense.element_size() > 1 else dense.float()
    elif isinstance(content, (Mapping, list, tuple)):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from _floating(value, (*path, str(key)))
