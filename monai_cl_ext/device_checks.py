# SPDX-License-Identifier: Apache-2.0
"""Checks of values that lie on a device, without waiting for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def check_values(holds: Tensor, expected: str, found: Callable[[], str], remedy: str) -> None:
    """Checks a condition on the values of tensors: at once on the CPU, without making the host wait on CUDA.

    On CUDA the device itself asserts it: of a failure it writes what was expected to the standard error, and the next
    operation that waits for the device, or a later one, raises a RuntimeError. Other devices have no such assertion;
    there nothing is checked.

    Args:
        holds: whether the values are as expected, a boolean scalar on their device.
        expected: what is expected, of which tensor; with ``remedy`` no longer than 250 characters.
        found: says what was found; called on the CPU alone.
        remedy: what to do.

    Raises:
        ValueError: on the CPU, when it does not hold.
    """
    if holds.device.type == "cuda":
        torch._assert_async(holds, f"{expected}: {remedy}")
    elif holds.device.type == "cpu" and not holds:
        raise ValueError(f"{expected}, found {found()}: {remedy}")


def check_whole(name: str, labels: Tensor, remedy: str) -> None:
    """Checks that no label lies between classes, as after linear interpolation, as :func:`check_values` does.

    Args:
        name: of the labels, for the error.
        labels: of any shape and type.
        remedy: what to do.

    Raises:
        ValueError: on the CPU, when one does.
    """
    if not labels.is_floating_point():
        return
    between = labels != labels.trunc()
    check_values(
        ~between.any(),
        f"{name}: expected class numbers",
        lambda: f"{labels[between][0].item():g} at {int(between.sum())} voxel(s)",
        remedy,
    )


def check_classes(name: str, labels: Tensor, num_classes: int, remedy: str) -> None:
    """Checks that all labels are whole numbers from 0 to ``num_classes`` - 1, as :func:`check_values` does.

    Args:
        name: of the labels, for the error.
        labels: of any shape and type.
        num_classes: background included.
        remedy: what to do.

    Raises:
        ValueError: on the CPU, when one is something else.
    """
    fits = (labels >= 0) & (labels < num_classes)
    if labels.is_floating_point():
        fits &= labels == labels.trunc()
    check_values(
        fits.all(),
        f"{name} must be classes from 0 to {num_classes - 1}",
        lambda: f"{labels[~fits][0].item():g} at {int((~fits).sum())} voxel(s)",
        remedy,
    )
