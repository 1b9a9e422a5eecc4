# SPDX-License-Identifier: Apache-2.0
"""Independence of the convolutions of two networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import at_least_float32, without_autocast


class FilterIndependenceLoss(nn.Module):
    """How well linear combinations of one network's filters copy those of another (CauSSL; Miao et al., ICCV 2023).

    Of each layer the filters are the rows of a matrix, W1 and W2, and P is a square matrix of coefficients. The value
    is the squared cosine of each row of W1 and the same row of P W2, its mean over rows, then over layers: 1 where the
    second network's filters span those of the first, 0 where they are independent. W2 gets no gradient. A maximum over
    P, which begins near 0, tells how dependent the networks are; the first network's weights minimize it. Processes
    have equal weights, and each its own copy of P.

    Args:
        filters: number of filters of each layer.
    """

    def __init__(self, filters: Sequence[int]) -> None:
        super().__init__()
        if not filters:
            raise ValueError("filters is empty: give the number of filters of each layer that is compared")
        counts = [positive_integer("filters", count) for count in filters]
        self.coefficients = nn.ParameterList(1e-3 * torch.randn(count, count) for count in counts)

    @plain_tensors
    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """The mean squared cosine.

        Args:
            first, second: weights of the layers of both networks, each (filters, ...) and of one shape in both.

        Raises:
            ValueError: when layers are missing, or of other shapes.
        """
        expected = [len(coefficients) for coefficients in self.coefficients]
        shapes = [[tuple(each.shape) for each in weights] for weights in (first, second)]
        if shapes[0] != shapes[1] or [shape[0] for shape in shapes[0]] != expected:
            raise ValueError(
                f"first and second must be weights of {len(expected)} layers of {expected} filters, of the same "
                f"shapes in both, found {shapes[0]} and {shapes[1]}: give two networks of one architecture"
            )
        layers = zip(first, second, self.coefficients, strict=True)
        with without_autocast(first[0].device):
            return torch.stack([_squared_cosine(*layer) for layer in layers]).mean()


def _squared_cosine(first: Tensor, second: Tensor, coefficients: Tensor) -> Tensor:
    own, other = (_rows(each) for each in (first, second.detach()))
    combined = coefficients.to(other.dtype) @ other
    return (normalize(own, dim=1) * normalize(combined, dim=1)).sum(1).square().mean()


def _rows(weights: Tensor) -> Tensor:
    """Filters (out, rest), in float32 at least."""
    return weights.to(at_least_float32(weights.dtype)).flatten(1)
