# SPDX-License-Identifier: Apache-2.0
"""Layers that take each position of a map for a token, and how their papers initialize them."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import layer_norm


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalization over the channels of a map, at each position by itself.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) from one of the same shape."""
        tokens = layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return tokens.movedim(-1, 1)


def initialize_tokens(module: nn.Module) -> None:
    """Linear weights from a cut N(0, 0.02), convolutions from N(0, sqrt(2 / fan-out)), biases 0; for ``apply``."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        outgoing = module.out_channels // module.groups * math.prod(module.kernel_size)
        nn.init.normal_(module.weight, std=math.sqrt(2 / outgoing))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
