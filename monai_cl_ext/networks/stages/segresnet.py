# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's SegResNet."""

from __future__ import annotations

from monai.networks.nets import SegResNet
from torch import Tensor

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


class SegResNetStages(Stages):
    """Stages of MONAI's SegResNet: skips are added, and the first convolution belongs to the first level."""

    def __init__(self, network: SegResNet) -> None:
        levels, blocks = len(network.down_layers), len(network.up_layers)
        super().__init__(
            network,
            encoder=("convInit", *(f"down_layers.{index}" for index in range(levels))),
            blocks=[(f"up_samples.{index}", f"up_layers.{index}") for index in range(blocks)],
            output="conv_final" if network.use_conv_final else None,
            channels=[network.init_filters * 2**index for index in range(levels)],
        )

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of the images (B, C, *S), from shallow to deep, the bottleneck last."""
        return self.network.encode(x)[1]  # type: ignore[operator]

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and its skip."""
        upsample, block = (self.network.get_submodule(name) for name in self.block_prefixes[index])
        return block(upsample(x) + skip)


stages.register(SegResNet, SegResNetStages)
