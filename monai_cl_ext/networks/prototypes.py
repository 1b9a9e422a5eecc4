# SPDX-License-Identifier: Apache-2.0
"""Prototypes: the directions that embeddings are compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.numerics import at_least_float32, without_autocast


class Prototypes(nn.Linear):
    """Cosine similarities of embeddings to learned prototypes (Caron et al. 2020, "SwAV").

    A linear layer without bias whose rows, like the embeddings, are normalized in each use. The paper overwrites the
    weights with the normalized ones before each step instead. Here the gradient of a row is orthogonal to it and the
    optimizer alone changes the weights: with momentum, and with Adam, nothing accumulates along the row that is then
    thrown away. Only a row's direction means anything; its length, 1 at first, may grow, which makes later steps turn
    it less. The scores are float32 at least, even under autocast: they are divided by a small epsilon and temperature.

    Args:
        features: width of the embeddings.
        prototypes: how many.
    """

    def __init__(self, features: int, prototypes: int = 3000) -> None:
        super().__init__(positive_integer("features", features), positive_integer("prototypes", prototypes), bias=False)
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, z: Tensor) -> Tensor:
        """Scores (B, prototypes), from -1 to 1, of embeddings (B, features) of any scale."""
        with without_autocast(z.device):
            rows, weight = (F.normalize(each.to(at_least_float32(each.dtype)), dim=-1) for each in (z, self.weight))
            return F.linear(rows, weight)
