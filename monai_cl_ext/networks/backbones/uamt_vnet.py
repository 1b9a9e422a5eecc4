# SPDX-License-Identifier: Apache-2.0
"""V-Net of Yu et al. 2019 (UA-MT), which the semi-supervised papers on volumes share."""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Dropout, Norm
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer, probability
from monai_cl_ext.networks.backbones.unet_base import UNetBase

CONVOLUTIONS = (1, 2, 3, 3, 3)
"""Of the encoder's levels; a decoder block has as many as the level of its skip."""


class UAMTVNet(UNetBase):
    """V-Net of "Uncertainty-aware self-ensembling model ..." (Yu et al. 2019, UA-MT, release), and of SSL4MIS.

    A unit is convolution with bias, batch normalization, ReLU. Five encoder levels of 1, 2, 3, 3 and 3 units with 3x3x3
    kernels, before all but the first a strided 2x2x2 unit that doubles the width; four decoder blocks of a transposed
    2x2x2 unit, addition of the skip, and 3, 3, 2 and 1 units; a 1x1x1 convolution to the classes. Channels are dropped
    after the bottleneck and after the last block. Weights are initialized as torch does. With one channel and two
    classes the 3D network, the papers', has 9 448 866 parameters; MONAI's VNet, with 5x5x5 kernels and concatenated
    skips, has 45.6 M. The 2D one has the same layers with 2D kernels.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        features: width of the first level, doubled by each level that follows.
        dropout: chance that a channel is dropped in training; the papers' networks have 0.5, 0 drops none.
        spatial_dims: 2 or 3.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 16.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        features: int = 16,
        dropout: float = 0.5,
        *,
        spatial_dims: int = 3,
    ) -> None:
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        positive_integer("features", features)
        dims = one_of("spatial_dims", spatial_dims, (2, 3))
        widths = [features * 2**level for level in range(len(CONVOLUTIONS))]
        drop = Dropout[Dropout.DROPOUT, dims]
        encoder = [nn.Sequential(*_units(dims, in_channels, features, CONVOLUTIONS[0]))]
        for before, width, count in zip(widths, widths[1:], CONVOLUTIONS[1:], strict=False):
            encoder.append(nn.Sequential(_strided(dims, before, width), *_units(dims, width, width, count)))
        encoder[-1].append(drop(probability("dropout", dropout)))
        skips = zip(widths[-2::-1], CONVOLUTIONS[-2::-1], strict=True)
        decoder = [UAMTDecoderBlock(dims, width, count) for width, count in skips]
        decoder[-1].units.append(drop(dropout))
        super().__init__(encoder, decoder, Conv[Conv.CONV, dims](features, out_channels, kernel_size=1))


class UAMTDecoderBlock(nn.Module):
    """Decoder block: transposed convolution, addition of the skip, units.

    Args:
        dims: number of spatial dimensions.
        width: channels of the skip and of the result; the map from below has twice as many.
        count: number of 3x3x3 units.
    """

    def __init__(self, dims: int, width: int, count: int) -> None:
        super().__init__()
        up = Conv[Conv.CONVTRANS, dims](2 * width, width, kernel_size=2, stride=2)
        self.up = nn.Sequential(up, *_normalized(dims, width))
        self.units = nn.Sequential(*_units(dims, width, width, count))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, *2S) from the map below (B, 2 * width, *S) and the skip (B, width, *2S)."""
        return self.units(self.up(x) + skip)


def _units(dims: int, before: int, width: int, count: int) -> list[nn.Module]:
    return [_unit(dims, before if index == 0 else width, width) for index in range(count)]


def _unit(dims: int, before: int, width: int) -> nn.Sequential:
    return nn.Sequential(Conv[Conv.CONV, dims](before, width, kernel_size=3, padding=1), *_normalized(dims, width))


def _strided(dims: int, before: int, width: int) -> nn.Sequential:
    return nn.Sequential(Conv[Conv.CONV, dims](before, width, kernel_size=2, stride=2), *_normalized(dims, width))


def _normalized(dims: int, width: int) -> list[nn.Module]:
    return [Norm[Norm.BATCH, dims](width), nn.ReLU(inplace=True)]
