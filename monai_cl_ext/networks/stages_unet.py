# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's UNet, which nests each level in the skip connection of the one above."""

from __future__ import annotations

import torch
from monai.networks.blocks.activation_checkpointing import ActivationCheckpointWrapper
from monai.networks.nets import UNet
from torch import Tensor

from monai_cl_ext.networks.stages_generic import Stages


class UNetStages(Stages):
    """Stages of MONAI's UNet, with residual units or without, and of its CheckpointUNet.

    A decoder block joins the skip first and doubles the size after, as the network does. The bottleneck is as large as
    the level above it, so the map after the first block has the size of the level above that. The last block ends with
    the layer that gives the classes: there is no output layer besides, its map is the network's result, and its weights
    fit networks with as many classes alone.
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
        """Result of decoder block ``index`` (0 is the bottleneck's neighbour) for the map below it and its skip."""
        return self.network.get_submodule(self.block_prefixes[index][0])(torch.cat([skip, x], dim=1))
