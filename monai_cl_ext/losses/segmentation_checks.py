# SPDX-License-Identifier: Apache-2.0
"""Shape checks of segmentation losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def check_segmentation(logits: Tensor, **maps: Tensor) -> None:
    """Raises a ValueError unless logits are (B, C, *S), C of at least two classes, and each map is (B, 1, *S)."""
    if logits.ndim < 3 or logits.shape[1] < 2:
        raise ValueError(f"logits must be (B, C, *S) with C >= 2 classes, found {tuple(logits.shape)}")
    expected = (len(logits), 1, *logits.shape[2:])
    for name, found in maps.items():
        if tuple(found.shape) != expected:
            raise ValueError(f"{name} must be {expected} for logits {tuple(logits.shape)}, found {tuple(found.shape)}")


def check_alike(logits: Sequence[Tensor]) -> None:
    """Raises a ValueError unless there are two maps or more, all (B, C, *S) of one shape, C of at least two classes."""
    shapes = [tuple(each.shape) for each in logits]
    if len(shapes) < 2 or len(set(shapes)) > 1:
        raise ValueError(f"logits must be a list of at least two maps of one shape, found {shapes}: resize them")
    check_segmentation(logits[0])
