# SPDX-License-Identifier: Apache-2.0
"""DINO head: three-layer perceptron, L2 normalization, weight-normalized output layer."""

from __future__ import annotations

from itertools import pairwise

from monai.networks.layers import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.numerics import at_least_float32, without_autocast


class DINOHead(nn.Module):
    """Linear-GELU-Linear-GELU-Linear, L2 normalization, weight-normalized layer without bias (Caron et al. 2021).

    While the magnitudes of the last layer are 1, an output is the cosine similarity to a prototype. Weights of the
    layers before it are initialized truncated-normal with standard deviation 0.02, biases as 0. The outputs are float32
    at least, even under autocast: bfloat16 cosines divided by a temperature of 0.04 would be off by a tenth.

    Args:
        in_features: width of the embeddings.
        out_dim: number of outputs.
        hidden: width of the two hidden layers.
        bottleneck: width of the normalized embedding.
        normalize_last_layer: keeps the magnitudes of the last layer at 1; False trains them.
        batch_norm: normalize each hidden layer before its GELU, as DeSD does; a training batch then needs two rows.

    Attributes:
        last_layer: the weight-normalized layer, frozen in the first epoch of a run.
    """

    def __init__(
        self,
        in_features: int,
        out_dim: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        normalize_last_layer: bool = True,
        batch_norm: bool = False,
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
            layers += [layer, *([nn.BatchNorm1d(after)] if batch_norm else []), nn.GELU()]
        self.layers = nn.Sequential(*layers[: -2 if batch_norm else -1])
        self.last_layer = weight_norm(nn.Linear(bottleneck, positive_integer("out_dim", out_dim), bias=False))
        magnitude = self.last_layer.parametrizations.weight.original0
        nn.init.ones_(magnitude)
        magnitude.requires_grad_(not normalize_last_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, out_dim) of the embeddings (B, in_features)."""
        x = self.layers(x)
        with without_autocast(x.device):
            return self.last_layer(F.normalize(x.to(at_least_float32(x.dtype)), dim=-1))
