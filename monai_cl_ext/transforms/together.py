# SPDX-License-Identifier: Apache-2.0
"""Operations that act together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .operation import Operation


class Together(Operation):
    """Several operations behind one chance: a sample has all of them or none.

    Within a touched sample each operation still has its own probability. In a ``ViewPolicy`` the operations stand where
    the group stands: spatial ones are composed with their neighbours inside and outside of it.

    Args:
        operations: in the order in which they are applied; groups may hold groups.
        probability: chance of each sample, independently, to be touched.

    Raises:
        TypeError, ValueError: when there is no operation, one is of another kind, or one has no parameters and so
            cannot leave a sample alone.
    """

    def __init__(self, operations: Sequence[Operation], probability: float = 1.0) -> None:
        self.operations = list(operations)
        if not self.operations:
            raise ValueError("Together needs at least one operation, found none")
        for operation in self.operations:
            if not isinstance(operation, Operation):
                raise TypeError(f"Together takes operations, found {operation!r}")
            if not operation.columns:
                raise ValueError(
                    f"Together cannot leave out an operation without parameters, found {type(operation).__name__}; "
                    "put it before or after the group"
                )
        super().__init__(torch.cat([operation.identity for operation in self.operations]), probability)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The parameters of all operations side by side, (B, P)."""
        return torch.cat([operation.make_params(batch_size, generator) for operation in self.operations], dim=1)

    def scaled(self, strength: float) -> Together:
        """Each operation scaled; the group's chance stays."""
        return Together([operation.scaled(strength) for operation in self.operations], self.probability)


def flattened(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations in their order, each group replaced by what it holds."""
    for operation in operations:
        if isinstance(operation, Together):
            yield from flattened(operation.operations)
        else:
            yield operation
