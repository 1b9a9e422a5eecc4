# SPDX-License-Identifier: Apache-2.0
"""A group of operations that are applied all or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .operation import Operation


class OperationGroup(Operation):
    """Operations that a sample gets all or none of, with one probability (torchvision's ``RandomApply``).

    Within an augmented sample each operation still has its own probability. A ``ViewPolicy`` treats the members as if
    they stood in the place of the group: spatial ones are composed with their neighbors inside and outside of it.

    Args:
        operations: in the order in which they are applied; groups may be nested.
        probability: chance of each sample, independently, to be augmented.

    Raises:
        TypeError, ValueError: when there is no operation, one is of another type, or one has no parameters and so
            cannot leave a sample unchanged.
    """

    def __init__(self, operations: Sequence[Operation], probability: float = 1.0) -> None:
        self.operations = tuple(operations)
        if not self.operations:
            raise ValueError("OperationGroup needs at least one operation, found none")
        for operation in self.operations:
            if not isinstance(operation, Operation):
                raise TypeError(f"OperationGroup takes operations, found {operation!r}")
            if not operation.columns:
                raise ValueError(
                    f"OperationGroup cannot skip an operation without parameters, found {type(operation).__name__}; "
                    "put it before or after the group"
                )
        super().__init__(torch.cat([operation.identity for operation in self.operations]), probability)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The parameters of all operations, concatenated, (B, P)."""
        return torch.cat([operation.make_params(batch_size, generator) for operation in self.operations], dim=1)

    def scaled(self, strength: float) -> OperationGroup:
        """Each operation scaled; the probability of the group stays."""
        return OperationGroup([operation.scaled(strength) for operation in self.operations], self.probability)


def flattened(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations in their order, each group replaced by its members."""
    for operation in operations:
        if isinstance(operation, OperationGroup):
            yield from flattened(operation.operations)
        else:
            yield operation
