# SPDX-License-Identifier: Apache-2.0
"""Stages of UCTransNet, whose skips are made of all levels together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl_ext.networks.backbones.uctransnet import UCTransNet
from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


class UCTransNetStages(Stages):
    """Stages of UCTransNet: a plain encoder of images of any size, and a decoder that begins with the transformer.

    The features are the encoder's maps. The transformer between them and the decoder blocks belongs to the blocks, so
    that a loss at the bottleneck trains all of the encoder, and loading the encoder leaves the transformer as it was:
    the first block has what the deepest skip depends on, all of the transformer but the other levels of its last layer;
    each further block has its own level there.
    """

    def __init__(self, network: UCTransNet) -> None:
        depth = len(network.decoder)
        *layers, last = (f"transformer.layers.{index}" for index in range(len(network.transformer.layers)))
        shared = (*(f"transformer.embeddings.{level}" for level in range(depth)), *layers, f"{last}.memory")
        own = [
            (f"{last}.levels.{level}", f"restorations.{level}", f"decoder.{depth - 1 - level}")
            for level in reversed(range(depth))
        ]
        super().__init__(
            network,
            encoder=[f"encoder.{index}" for index in range(len(network.encoder))],
            blocks=[(*shared, *own[0]), *own[1:]],
            output="output",
        )

    def decoder_maps(self, features: Sequence[Tensor], blocks: int | None = None) -> list[Tensor]:
        """The maps after each of the first ``blocks`` decoder blocks.

        Raises:
            ValueError: when the network has fewer blocks, or the images were of another size than the network's.
        """
        count = self._block_count(blocks)
        self.network.check_size(features[0])  # type: ignore[operator]
        tokens = self.network.get_submodule("transformer")(list(features[:-1]))
        x, maps = features[-1], []
        for index in range(count):
            level = len(tokens) - 1 - index
            restoration = self.network.get_submodule(f"restorations.{level}")
            x = self.decode_block(index, x, restoration(tokens[level], features[level]))
            maps.append(x)
        return maps

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and the restored skip."""
        return self.network.get_submodule(self.block_prefixes[index][-1])(x, skip)


stages.register(UCTransNet, UCTransNetStages)
