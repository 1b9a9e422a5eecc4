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
