# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's UNet, which nests each level in the skip connection of the one above."""

from __future__ import annotations

import torch
from monai.networks.blocks.activation_checkpointing import ActivationCheckpointWrapper
from monai.networks.nets import UNet
from torch import Tensor

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


class UNetStages(Stages):
    """Stages of MONAI's UNet, with residual units or without, and of its CheckpointUNet.

    A decoder block concatenates the skip first and upsamples after, as the network does. The bottleneck is as large as
    the level above it, so the map after the first block has the size of the level above that. The last block is also
    the output layer: its map is the network's result, and its weights fit only networks with as many classes.
    """

    def __init__(self, network: UNet) -> None:
        levels: list[str] = []
        blocks: list[str] = []
        name = "model"  # of the level with all that lies below it: (level, skip connection around the rest, block)
        for _ in network.channels[1:]:
            levels.append(f"{name}.0")
            blocks.append(f"{name}.2")
            name += ".1.submodule"
            if isinstance(network.get_submodule(name), ActivationCheckpointWrapper):
                name += ".module"
        super().__init__(network, encoder=[*levels, name], blocks=blocks[::-1], output=None)

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and its skip."""
        return self.network.get_submodule(self.block_prefixes[index][0])(torch.cat([skip, x], dim=1))


stages.register(UNet, UNetStages)
