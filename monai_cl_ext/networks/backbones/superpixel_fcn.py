# SPDX-License-Identifier: Apache-2.0
"""Network of Yang et al. 2020 (SuperpixelFCN): assigns each pixel to one of the nine nearest cells of a grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.networks.backbones.unet_base import UNetBase

FEATURES = (16, 32, 64, 128, 256)
SLOPE = 0.1  # of leaky ReLU, and of the Kaiming initialization


class SuperpixelFCN(UNetBase):
    """Network of "Superpixel segmentation with fully convolutional networks" (Yang et al., CVPR 2020; release).

    A unit is 3x3 convolution without bias, batch normalization, leaky ReLU with slope 0.1. Five encoder levels of two
    units with 16 to 256 features, the first unit of each later level with stride 2; four decoder blocks of 4x4
    transposed convolution with stride 2, leaky ReLU, concatenation [up, skip] and one unit; a 3x3 convolution to nine
    classes. It has 2 269 785 parameters; the release's heads at coarser levels, which nothing uses, are left out.

    The image lies on a grid of cells of 16 x 16 pixels. The nine probabilities of a pixel say how much it belongs to
    each of the 3 x 3 cells around it, row by row: the fifth is the cell in which it lies. ``forward`` gives them as
    (B, 9, H, W).

    Args:
        in_channels: channels of the image.

    Raises:
        ValueError: when ``in_channels`` is out of range; in ``forward`` when a spatial size is no multiple of 16.
    """

    def __init__(self, in_channels: int = 3) -> None:
        positive_integer("in_channels", in_channels)
        before = (in_channels, *FEATURES)
        encoder = [
            nn.Sequential(_unit(width, after, stride=2 if level else 1), _unit(after, after))
            for level, (width, after) in enumerate(zip(before, FEATURES, strict=False))
        ]
        decoder = [
            SuperpixelDecoderBlock(below, width) for below, width in zip(FEATURES[:0:-1], FEATURES[-2::-1], strict=True)
        ]
        output = nn.Sequential(nn.Conv2d(FEATURES[0], 9, kernel_size=3, padding=1), nn.Softmax(dim=1))
        super().__init__(encoder, decoder, output)
        self.apply(_initialize)


class SuperpixelDecoderBlock(nn.Module):
    """Decoder block: transposed convolution with leaky ReLU, concatenation with the skip, one unit.

    Args:
        below, width: channels of the map from below, and of skip and result.
    """

    def __init__(self, below: int, width: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.ConvTranspose2d(below, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE))
        self.unit = _unit(2 * width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, 2H, 2W) from the map below (B, below, H, W) and the skip (B, width, 2H, 2W)."""
        return self.unit(torch.cat([self.up(x), skip], dim=1))


def _unit(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(SLOPE),
    )


def _initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
