# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's SwinUNETR, whose encoder is the Swin transformer."""

from __future__ import annotations

from monai.networks.nets import SwinUNETR
from torch import Tensor

from monai_cl_ext.networks.stages.base import Stages
from monai_cl_ext.networks.stages.registry import stages


class SwinUNETRStages(Stages):
    """Stages of MONAI's SwinUNETR.

    The features are the image itself, for the topmost skip, and the five scales of the transformer ``swinViT``, the
    bottleneck last. The encoder is what the bottleneck depends on, the transformer. The residual blocks encoder1 to
    encoder4 and encoder10 belong to the decoder blocks that take their results: a loss at the bottleneck does not train
    them.
    """

    def __init__(self, network: SwinUNETR) -> None:
        transformer = network.swinViT
        scales = (transformer.embed_dim * 2**index for index in range(transformer.num_layers + 1))
        super().__init__(
            network,
            encoder=("swinViT",),
            blocks=[
                ("encoder10", "decoder5"),
                *((f"encoder{number}", f"decoder{number}") for number in (4, 3, 2, 1)),
            ],
            output="out",
            channels=(transformer.patch_embed.proj.in_channels, *scales),
        )

    def encode(self, x: Tensor) -> list[Tensor]:
        """The images (B, C, *S) and the transformer's features of them, from shallow to deep, the bottleneck last."""
        return [x, *self.network.get_submodule("swinViT")(x, self.network.normalize)]

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and its skip."""
        residual, decoder = (self.network.get_submodule(name) for name in self.block_prefixes[index])
        return decoder(residual(x), skip) if index == 0 else decoder(x, residual(skip))


stages.register(SwinUNETR, SwinUNETRStages)
