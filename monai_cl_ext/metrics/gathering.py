# SPDX-License-Identifier: Apache-2.0
"""Collects what each process found at the end of an epoch."""

from __future__ import annotations

from typing import TypeVar, cast

import torch.distributed as dist

from monai_cl_ext.distributed import world_size

Value = TypeVar("Value")


def gather_objects(value: Value) -> list[Value]:
    """The picklable ``value`` of each process of the default group, in order of rank; waits for all of them."""
    if world_size() == 1:
        return [value]
    values: list[Value | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return cast("list[Value]", values)
