# SPDX-License-Identifier: Apache-2.0
"""UCTransNet of Wang et al. 2022: a U-Net whose skip connections are a transformer over channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from monai.networks.nets.basic_unet import Down, TwoConv
from torch import Tensor, nn

from monai_cl_ext.arguments import per_axis, positive_integer
from monai_cl_ext.networks.backbones.channel_transformer import EPSILON, ChannelTransformer

MULTIPLE = 16
"""Side in pixels of the image that a token stands for."""

PATCHES = (16, 8, 4, 2)
"""Side of the same patch in the map of each level that has a skip."""

RELU = ("relu", {"inplace": True})


class UCTransNet(nn.Module):
    """UCTransNet of "UCTransNet: rethinking the skip connections in U-Net ..." (Wang et al., AAAI 2022, and release).

    A unit is 3x3 convolution with bias, batch normalization, ReLU. The encoder is one unit, then four levels of 2x2
    max-pooling and two units, 1, 2, 4, 8 and 8 times ``width`` wide: that of a plain U-Net, under the names of MONAI's
    ``BasicUNet`` for its levels. The skips of the first four are what :class:`ChannelTransformer` makes of all of them
    (CCT), brought back to the size of each, plus the encoder's map. A decoder block weights the channels of its skip by
    the map from below (CCA), concatenates both and has two units; a 1x1 convolution gives the classes. With three
    channels, one class and images of 224 x 224 it has 66 430 657 parameters, of width 16 for one channel, four classes
    and images of 256 x 256 it has 4 213 252. The network is 2D and, for the learned positions, of one image size; its
    encoder takes any.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        image_size: of the images in pixels, multiples of 16, one number or one for each axis.
        width: of the first level; the paper has 64.

    Raises:
        ValueError: when an argument is out of range, or ``image_size`` no multiple of 16; in ``forward`` when images
            have another size.
    """

    def __init__(self, in_channels: int, out_channels: int, image_size: int | Sequence[int], width: int = 64) -> None:
        super().__init__()
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        positive_integer("width", width)
        self.image_size = _checked_size(image_size)
        widths = [width, 2 * width, 4 * width, 8 * width]
        levels = zip(widths, [*widths[1:], widths[-1]], strict=True)
        self.encoder = nn.ModuleList(
            [
                Convolution(2, in_channels, width, act=RELU, norm="batch"),
                *(Down(2, before, after, act=RELU, norm="batch", bias=True) for before, after in levels),
            ]
        )
        self.transformer = ChannelTransformer(widths, PATCHES, [side // MULTIPLE for side in self.image_size])
        self.restorations = nn.ModuleList(
            TokenRestoration(each, patch) for each, patch in zip(widths, PATCHES, strict=True)
        )
        results = [*widths[-2::-1], width]
        self.decoder = nn.ModuleList(
            UCTransDecoderBlock(each, after) for each, after in zip(widths[::-1], results, strict=True)
        )
        self.output = nn.Conv2d(width, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, *image_size) of the images (B, in_channels, *image_size)."""
        self.check_size(x)
        features: list[Tensor] = []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        tokens = self.transformer(features[:-1])
        skips: list[Tensor] = []
        for index, restoration in enumerate(self.restorations):
            skips.append(restoration(tokens[index], features[index]))
        for index, block in enumerate(self.decoder):
            x = block(x, skips[len(skips) - 1 - index])
        return self.output(x)

    def check_size(self, x: Tensor) -> None:
        """Refuses images (B, C, *S), or maps of their size, that the learned positions do not fit.

        Raises:
            ValueError: says what to do.
        """
        size = list(x.shape[2:])
        if size != self.image_size:
            raise ValueError(
                f"UCTransNet takes images of the size {self.image_size} that it was built for, found {size}: crop or"
                " pad the images, or build it with another image_size"
            )


class TokenRestoration(nn.Module):
    """A skip: the tokens of a level as a map of the level's size, and the encoder's map.

    Args:
        width: channels of tokens and map.
        patch: side of a token's patch in the map, in pixels.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.unit = Convolution(2, width, width, kernel_size=1, act=RELU, norm="batch")

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Skip (B, width, *S) from the tokens (B, tokens, width) and the encoder's map (B, width, *S)."""
        grid = self.norm(tokens).transpose(1, 2).unflatten(2, [x.shape[2] // self.patch, x.shape[3] // self.patch])
        return self.unit(F.interpolate(grid, size=x.shape[2:])) + x


class UCTransDecoderBlock(nn.Module):
    """Decoder block: nearest-neighbor upsampling, channel-wise cross-attention on the skip, two units.

    Args:
        width: channels of the map from below and of the skip.
        after: channels of the result.
    """

    def __init__(self, width: int, after: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2.0)
        self.from_skip = nn.Linear(width, width)
        self.from_below = nn.Linear(width, width)
        self.units = TwoConv(2, 2 * width, after, act=RELU, norm="batch", bias=True)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, after, *2S) from the map below (B, width, *S) and the skip (B, width, *2S)."""
        x = self.up(x)
        gate = (self.from_skip(skip.mean(dim=(2, 3))) + self.from_below(x.mean(dim=(2, 3)))) / 2
        weighted = torch.relu(skip * gate.sigmoid()[:, :, None, None])
        return self.units(torch.cat([weighted, x], dim=1))


def _checked_size(image_size: int | Sequence[int]) -> list[int]:
    size = list(per_axis("image_size", image_size, 2, positive_integer))
    if any(side % MULTIPLE for side in size):
        larger = [-(-side // MULTIPLE) * MULTIPLE for side in size]
        raise ValueError(
            f"image_size must be multiples of {MULTIPLE} for UCTransNet, found {size}: crop or pad the images, to"
            f" {larger} for example"
        )
    return size
