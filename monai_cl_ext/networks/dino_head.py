# SPDX-License-Identifier: Apache-2.0
"""DINO's head: three layers, the unit sphere, and one prototype for each output."""

from __future__ import annotations

from itertools import pairwise

import torch
from monai.networks.layers import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from monai_cl_ext.arguments import positive_integer


class DINOHead(nn.Module):
    """Linear-GELU-Linear-GELU-Linear, L2 norm, then a weight-normalised layer without bias (Caron et al. 2021).

    While the magnitudes of the last layer are 1, an output is the cosine of the row and a prototype. The layers before
    start truncated-normal with standard deviation 0.02 and without bias, as released. The outputs are float32 at least
    even under autocast: bfloat16 cosines divided by a temperature of 0.04 would be off by a tenth.

    Args:
        in_features: width of the embeddings.
        out_dim: number of outputs.
        hidden: width of the two hidden layers.
        bottleneck: width of the sphere.
        normalize_last_layer: keep the magnitudes of the last layer at 1; False trains them, as the release advises for
            ViT-S.

    Attributes:
        last_layer: the weight-normalised layer, which does not move in the first epoch of a run.
    """

    def __init__(
        self,
        in_features: int,
        out_dim: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        normalize_last_layer: bool = True,
    ) -> None:
        super().__init__()
        widths = [
            positive_integer("in_features", in_features),
            positive_integer("hidden", hidden),
            hidden,
            positive_integer("bottleneck", bottleneck),
        ]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layer = nn.Linear(before, after)
            trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.GELU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.last_layer = weight_norm(nn.Linear(bottleneck, positive_integer("out_dim", out_dim), bias=False))
        magnitude = self.last_layer.parametrizations.weight.original0
        nn.init.ones_(magnitude)
        magnitude.requires_grad_(not normalize_last_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, out_dim) of the embeddings (B, in_features)."""
        x = self.layers(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.last_layer(F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1))
