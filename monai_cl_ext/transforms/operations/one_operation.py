# SPDX-License-Identifier: Apache-2.0
"""A choice among operations, made for each sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext import arguments

from .operation import IntensityOperation


class OneOperation(IntensityOperation):
    """Each sample gets one of several intensity operations, or none.

    Args:
        operations: each may still leave the sample alone by its own probability.
        probabilities: of each of them; what they lack to 1 is the chance of none.

    Raises:
        TypeError: when one is no intensity operation with parameters on the device.
        ValueError: when there is not one probability for each, or their sum is above 1.
    """

    def __init__(self, operations: Sequence[IntensityOperation], probabilities: Sequence[float]) -> None:
        self.operations = tuple(operations)
        for operation in self.operations:
            fits = isinstance(operation, IntensityOperation) and operation.columns and not operation.params_on_cpu
            if not fits:
                raise TypeError(f"OneOperation takes intensity operations with parameters, found {operation!r}")
        self.probabilities = [arguments.probability("probabilities", each) for each in probabilities]
        if len(self.probabilities) != len(self.operations) or not self.operations or sum(self.probabilities) > 1 + 1e-9:
            raise ValueError(
                f"OneOperation needs one probability for each of its {len(self.operations)} operations, at least one, "
                f"with a sum of at most 1, found {list(probabilities)!r}"
            )
        super().__init__(torch.cat([operation.identity for operation in self.operations]))

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The parameters of all operations, concatenated; the identity of those that were not chosen, (B, P)."""
        value, start, parts = torch.rand(batch_size, 1, generator=generator), 0.0, []
        for operation, chance in zip(self.operations, self.probabilities, strict=True):
            drawn = operation.make_params(batch_size, generator)
            chosen = (value >= start) & (value < start + chance)
            parts.append(torch.where(chosen, drawn, operation.identity))
            start += chance
        return torch.cat(parts, dim=1)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image under the operation of each sample."""
        columns = [operation.columns for operation in self.operations]
        for operation, part in zip(self.operations, params.split(columns, dim=1), strict=True):
            image = operation.apply(image, part)
        return image
