# SPDX-License-Identifier: Apache-2.0
"""The process among its group: rank, size (0 and 1 where no group was initialized), and what all processes exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from monai_cl_ext.errors import MISTAKES

Value = TypeVar("Value")
Arguments = ParamSpec("Arguments")

TIMEOUT = timedelta(hours=24)
"""How long the bundles' processes wait for each other; of nodes that fill a store each, one may take hours longer."""


def world_size() -> int:
    """Number of processes of the default group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process in the default group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_integers(value: int, device: torch.device) -> list[int]:
    """The ``value`` of every process, such as its number of rows, by rank; every process has to call it.

    A group that serves CPU tensors exchanges the values there ("gloo", or "cpu:gloo,cuda:nccl"), so that no process
    waits for its GPU; a group of nccl alone has to wait.
    """
    if world_size() == 1:
        return [value]
    serving = torch.device("cpu") if "cpu:" in dist.get_backend_config() else device
    values = torch.empty(world_size(), dtype=torch.int64, device=serving)
    dist.all_gather(list(values.split(1)), torch.tensor([value], device=serving))
    return values.tolist()


def gather_objects(value: Value) -> list[Value]:
    """The picklable ``value`` of each process of the default group, in order of rank; waits for all of them."""
    if world_size() == 1:
        return [value]
    values: list[Value | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return cast("list[Value]", values)


@contextmanager
def failing_together() -> Iterator[None]:
    """A block that every process runs: what one raises in it all raise at its end, that of the lowest rank.

    A process that failed alone would leave the others waiting for it in their next exchange, until ``TIMEOUT``. Errors
    other than a user's mistakes (``errors.MISTAKES``) come from another process as RuntimeErrors with their text.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        if world_size() == 1:
            raise
        error = raised
    sent = error if error is None or isinstance(error, MISTAKES) else RuntimeError(f"{type(error).__name__}: {error}")
    errors = gather_objects(sent)
    first = next((place for place, found in enumerate(errors) if found is not None), None)
    if first is not None:
        raise error if error is not None and first == rank() else errors[first]  # type: ignore[misc]


def on_first_process(call: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A function that every process calls and the first alone runs, such as one that writes; its error all raise."""

    @wraps(call)
    def together(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        with failing_together():
            if rank() == 0:
                call(*args, **kwargs)

    return together


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of the ``values`` of all processes, with gradient: each gets what all of them ask of its own."""
    return values if world_size() == 1 else _Sum.apply(values)


class RowGather:
    """Joins the rows of all processes by rank, with gradient; processes may hold different numbers of rows.

    Every process has to make it and to call it in the same order, backward passes included.

    Args:
        count: rows of this process.
        device: where the rows are.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.counts = gather_integers(count, device)
        first = sum(self.counts[: rank()])
        self.own = range(first, first + count)
        self._joined: dict[Tensor, Tensor] = {}

    def __call__(self, rows: Tensor) -> Tensor:
        """The rows (count, ...) of all processes, (sum of counts, ...); a tensor given twice is sent once.

        Raises:
            ValueError: when this process gives another number of rows than announced.
        """
        if len(rows) != len(self.own):
            raise ValueError(
                f"expected one value for each of the {len(self.own)} rows, found {len(rows)}; "
                "give rows and their tags the same length"
            )
        if len(self.counts) == 1:
            return rows
        if rows not in self._joined:
            self._joined[rows] = _Join.apply(rows, self.counts)
        return self._joined[rows]


class _Join(torch.autograd.Function):
    """all_gather; its gradient is the sum of what all processes ask of a row."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # reduce_scatter would want equal counts; rows are few enough that summing all of them costs little.
        return _summed(gradient).split(ctx.counts)[rank()], None


class _Sum(torch.autograd.Function):
    """all_reduce; its gradient is the sum of what all processes ask of the values."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
