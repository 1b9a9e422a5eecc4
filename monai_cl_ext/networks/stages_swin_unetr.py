# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's SwinUNETR: the transformer is the encoder."""

from __future__ import annotations

from monai.networks.nets import SwinUNETR
from torch import Tensor

from monai_cl_ext.networks.stages_generic import Stages


class SwinUNETRStages(Stages):
    """Stages of MONAI's SwinUNETR.

    The features are the image itself, which the topmost skip starts from, and the five scales of the transformer
    ``swinViT``; the last of these is the bottleneck. The transformer alone is the encoder: it is what the bottleneck
    depends on. The residual blocks that the network calls encoder1 to encoder4 stand between a feature and the
    decoder, encoder10 between bottleneck and decoder. They belong to the decoder block that takes their result, so
    that a loss at the bottleneck trains the whole encoder, and loading the encoder loads nothing that such a loss
    left untrained.
    """

    def __init__(self, network: SwinUNETR) -> None:
        super().__init__(
            network,
            encoder=("swinViT",),
            blocks=[
                ("encoder10", "decoder5"),
                *((f"encoder{number}", f"decoder{number}") for number in (4, 3, 2, 1)),
            ],
            output="out",
        )
        transformer = network.swinViT
        scales = (transformer.embed_dim * 2**index for index in range(transformer.num_layers + 1))
        self.channels = (transformer.patch_embed.proj.in_channels, *scales)

    def encode(self, x: Tensor) -> list[Tensor]:
        """The images (B, C, *S) and the transformer's features of them, from shallow to deep, the bottleneck last."""
        return [x, *self.network.get_submodule("swinViT")(x, self.network.normalize)]

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Result of decoder block ``index`` (0 is the bottleneck's neighbour) for the map below it and its skip."""
        residual, decoder = (self.network.get_submodule(name) for name in self.block_prefixes[index])
        return decoder(residual(x), skip) if index == 0 else decoder(x, residual(skip))
