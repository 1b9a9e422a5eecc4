# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's AttentionUnet, which nests each level in the attention layer of the one above."""

from __future__ import annotations

import torch
from monai.networks.nets import AttentionUnet
from torch import Tensor

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


class AttentionUnetStages(Stages):
    """Stages of MONAI's AttentionUnet: a decoder block is upsampling, attention gate on the skip, and merging."""

    def __init__(self, network: AttentionUnet) -> None:
        levels, blocks = ["model.0"], []
        layer = "model.1"
        for index in range(len(network.channels) - 1):
            blocks.append(tuple(f"{layer}.{part}" for part in ("upconv", "attention", "merge")))
            below = f"{layer}.submodule"  # the next level and its own attention layer; at the bottom the level alone
            levels.append(below if index == len(network.channels) - 2 else f"{below}.0")
            layer = f"{below}.1"
        super().__init__(network, encoder=levels, blocks=blocks[::-1], output="model.2")

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and its skip."""
        upsample, attention, merge = (self.network.get_submodule(name) for name in self.block_prefixes[index])
        x = upsample(x)
        return merge(torch.cat([attention(g=x, x=skip), x], dim=1))


stages.register(AttentionUnet, AttentionUnetStages)
