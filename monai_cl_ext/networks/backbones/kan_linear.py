# SPDX-License-Identifier: Apache-2.0
"""Linear layer whose edges are learned functions, of a Kolmogorov-Arnold network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

INTERVALS = 5  # of the grid over [-1, 1]
NOISE = 0.01  # of the initial splines, to either side of 0


class KANLinear(nn.Module):
    """Layer y_o = sum_i [b_oi SiLU(x_i) + s_oi sum_j c_oij B_j(x_i)], with a learned spline on each edge.

    B_j are the 8 cubic B-splines on a uniform grid of 5 intervals over [-1, 1] with 3 more knots on either side; the
    grid is fixed, and beyond [-2.2, 2.2] SiLU alone acts. There is no bias: 10 parameters an edge. b and s are
    initialized Kaiming-uniform with a = sqrt(5), c as the least squares fit, of the least norm, of a spline to noise
    from U(-0.01, 0.01) at the 6 knots in [-1, 1].

    Source: "KAN: Kolmogorov-Arnold networks" (Liu et al. 2024, equation 2.10), in the form and with the numbers that
    "U-KAN" (Li et al. 2024, release) has.

    Args:
        in_features: values of each token.
        out_features: values of each result.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.spline_scale = nn.Parameter(torch.empty(out_features, in_features))
        self.spline_weight = nn.Parameter(torch.empty(out_features, in_features, INTERVALS + 3))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for weight in (self.base_weight, self.spline_scale):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        knots = torch.linspace(-1, 1, INTERVALS + 1, dtype=torch.float64, device="cpu")
        noise = torch.empty(*self.base_weight.shape, len(knots), dtype=torch.float64, device="cpu")
        fit = torch.linalg.pinv(spline_basis(knots))
        self.spline_weight.copy_(noise.uniform_(-NOISE, NOISE) @ fit.T)

    def forward(self, x: Tensor) -> Tensor:
        """Results (..., out_features) of the tokens (..., in_features)."""
        splines = self.spline_weight * self.spline_scale.unsqueeze(-1)
        return linear(silu(x), self.base_weight) + linear(spline_basis(x).flatten(-2), splines.flatten(1))


def spline_basis(x: Tensor, intervals: int = INTERVALS) -> Tensor:
    """Values (..., intervals + 3) of the cubic B-splines on a uniform grid over [-1, 1] at ``x`` (...).

    They are one function at distances from its center that are counted in intervals; in half precision it is computed
    in float32, where such a distance is not rounded to tenths.
    """
    values = x.float() if x.dtype == torch.bfloat16 or x.dtype == torch.float16 else x
    centers = torch.arange(-1, intervals + 2, dtype=values.dtype, device=values.device)
    distance = ((values.unsqueeze(-1) + 1) * (intervals / 2) - centers).abs()
    outer, inner = (2 - distance).relu(), (1 - distance).relu()
    return ((outer * outer * outer - 4 * inner * inner * inner) / 6).to(x.dtype)
