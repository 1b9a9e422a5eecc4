# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's UNETR, whose encoder is a vision transformer."""

from __future__ import annotations

from collections.abc import Iterator

from monai.networks.nets import UNETR, ViT
from torch import Tensor

from monai_cl_ext.networks.stages.base import Stages, first_convolution
from monai_cl_ext.networks.stages.registry import stages

SKIPS = (3, 6, 9)  # transformer blocks, from 0, whose tokens UNETR's forward takes as skips
USED = ("norm1", "attn", "norm2", "mlp")  # parts of a transformer block that compute without cross-attention


class UNETRStages(Stages):
    """Stages of MONAI's UNETR, which takes images of one size, ``img_size``.

    The features are the image itself, for the topmost skip, and the tokens of the transformer ``vit`` as maps of a
    sixteenth of the image's size: those of three blocks, and after the final norm, the bottleneck. The encoder is what
    the bottleneck depends on, the transformer without the norms before cross-attention, which it does not use. The
    residual blocks encoder1 to encoder4 belong to the decoder blocks that take their results: a loss at the bottleneck
    does not train them.
    """

    def __init__(self, network: UNETR) -> None:
        image = first_convolution(network.encoder1).in_channels
        super().__init__(
            network,
            encoder=tuple(_transformer(network.vit)),
            blocks=[(f"encoder{number}", f"decoder{number + 1}") for number in (4, 3, 2, 1)],
            output="out",
            channels=(image, *[network.hidden_size] * (len(SKIPS) + 1)),
        )
        self.image_size = tuple(
            patches * side for patches, side in zip(network.feat_size, network.patch_size, strict=True)
        )

    def encode(self, x: Tensor) -> list[Tensor]:
        """The images (B, C, *S) and maps of the transformer's tokens, from shallow to deep, the bottleneck last.

        Raises:
            ValueError: when the images have another size than the network's.
        """
        if tuple(x.shape[2:]) != self.image_size:
            raise ValueError(
                f"UNETR takes images of the size {self.image_size} that it was built for, found {tuple(x.shape[2:])}:"
                " crop or resize the images, or build it with another img_size"
            )
        last, hidden = self.network.get_submodule("vit")(x)
        return [x, *(self.network.proj_feat(tokens) for tokens in (*(hidden[index] for index in SKIPS), last))]  # type: ignore[operator]

    def decode_block(self, index: int, x: Tensor, skip: Tensor) -> Tensor:
        """Map after decoder block ``index``, 0 next to the bottleneck, of the map below it and its skip."""
        residual, decoder = (self.network.get_submodule(name) for name in self.block_prefixes[index])
        return decoder(x, residual(skip))


def _transformer(vit: ViT) -> Iterator[str]:
    yield "vit.patch_embedding"
    for index in range(len(vit.blocks)):
        yield from (f"vit.blocks.{index}.{part}" for part in USED)
    yield "vit.norm"


stages.register(UNETR, UNETRStages)
