# SPDX-License-Identifier: Apache-2.0
"""The identity, with another gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scaled_gradient(values: Tensor, factor: Tensor) -> Tensor:
    """The values unchanged; what comes back through them is multiplied by ``factor``, which gets no gradient.

    Args:
        values: of any shape.
        factor: broadcasts to it.
    """
    result: Tensor = _ScaledGradient.apply(values, factor)
    return result


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * factor, None
