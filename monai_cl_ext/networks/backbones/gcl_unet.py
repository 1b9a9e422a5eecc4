# SPDX-License-Identifier: Apache-2.0
"""U-Net of Chaitanya et al. 2020 (GCL): six levels, nearest-neighbor upsampling, batch normalization."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv, Norm, Pad, Pool
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.networks.backbones.unet_base import UNetBase

ENCODER_CHANNELS = (16, 32, 64, 128, 128, 128)
DECODER_CHANNELS = (128, 128, 64, 32, 16)


class GCLUNet(UNetBase):
    """U-Net of "Contrastive learning of global and local features ..." (Chaitanya et al. 2020, appendix and release).

    A unit is convolution with bias, batch normalization (moving average with decay 0.99, eps 1e-3), ReLU. Six encoder
    levels of two 3x3 units, 2x2 max-pooling between them; five decoder blocks of nearest-neighbor upsampling, one
    2x2 unit, concatenation [up, skip] and two 3x3 units (one in the last); two 3x3 units and a 3x3 convolution to the
    classes. Weights are initialized as N(0, sqrt(2 / fan-in)), biases as 0. The paper's network is the 2D one with
    2.10 M parameters, 885 552 of them in the encoder; the 3D one has the same layers with 3D kernels.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        spatial_dims: 2 or 3.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 32.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 4, *, spatial_dims: int = 2) -> None:
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        dims = one_of("spatial_dims", spatial_dims, (2, 3))
        widths = (in_channels, *ENCODER_CHANNELS)
        encoder = [
            _level(dims, before, after, pool=index > 0)
            for index, (before, after) in enumerate(zip(widths, ENCODER_CHANNELS, strict=False))
        ]
        below = (ENCODER_CHANNELS[-1], *DECODER_CHANNELS)
        skips = ENCODER_CHANNELS[-2::-1]
        decoder = [
            GCLDecoderBlock(dims, before, skip, after, units=1 if index == len(skips) - 1 else 2)
            for index, (before, skip, after) in enumerate(zip(below, skips, DECODER_CHANNELS, strict=False))
        ]
        width = DECODER_CHANNELS[-1]
        output = nn.Sequential(
            _unit(dims, width, width),
            _unit(dims, width, width),
            Conv[Conv.CONV, dims](width, out_channels, kernel_size=3, padding=1, bias=False),
        )
        super().__init__(encoder, decoder, output)
        self.apply(_initialize)


class GCLDecoderBlock(nn.Module):
    """Decoder block: nearest-neighbor upsampling, a 2x2 unit, concatenation with the skip, 3x3 units.

    Args:
        dims: number of spatial dimensions.
        below, skip, width: channels of the map from below, of the skip, and of the result.
        units: number of 3x3 units after the concatenation.
    """

    def __init__(self, dims: int, below: int, skip: int, width: int, units: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            # TensorFlow's SAME padding of an even kernel puts the extra row at the far end
            Pad[Pad.CONSTANTPAD, dims]((0, 1) * dims, 0.0),
            _unit(dims, below, width, kernel=2, padding=0),
        )
        first = [_unit(dims, width + skip, width)]
        self.units = nn.Sequential(*first, *(_unit(dims, width, width) for _ in range(units - 1)))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, *2S) from the map below (B, below, *S) and the skip (B, skip, *2S)."""
        return self.units(torch.cat([self.up(x), skip], dim=1))


def _level(dims: int, before: int, after: int, pool: bool) -> nn.Sequential:
    layers: list[nn.Module] = [Pool[Pool.MAX, dims](2)] if pool else []
    return nn.Sequential(*layers, _unit(dims, before, after), _unit(dims, after, after))


def _unit(dims: int, before: int, after: int, kernel: int = 3, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        Conv[Conv.CONV, dims](before, after, kernel_size=kernel, padding=padding),
        Norm[Norm.BATCH, dims](after, eps=1e-3, momentum=0.01),
        nn.ReLU(inplace=True),
    )


def _initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
