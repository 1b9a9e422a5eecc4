# SPDX-License-Identifier: Apache-2.0
"""U-Net of Zeng et al. 2021 (PCL, SuperCL): five levels, transposed convolutions, batch normalization."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.networks.backbones.unet_base import UNetBase

POOLINGS = 4
SLOPE = 0.01  # of leaky ReLU, and of the Kaiming initialization


class PCLUNet(UNetBase):
    """U-Net of "Positional contrastive learning for volumetric medical image segmentation" (Zeng et al. 2021, release).

    A unit is 3x3 convolution with bias, batch normalization, leaky ReLU with slope 0.01. Four encoder levels of two
    units with 2x2 max-pooling after each; a center level of two 3x3 convolutions with ReLU and no normalization; four
    decoder blocks of 2x2 transposed convolution, concatenation [up, skip] and two units; a 1x1 convolution without bias
    to the classes. Weights are initialized Kaiming-normal (slope 0.01, fan-in), biases as 0. In 2D, with one channel
    and four classes, 32 features give 7 763 456 parameters, 4 713 568 of them in the encoder; 48 give 17 462 016 and
    10 602 384. The 3D network has the same layers with 3D kernels.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        features: width of the first level, doubled by each level that follows; the paper has 32 for CHD and MMWHS, 48
            for ACDC and HVSMR.
        spatial_dims: 2 or 3.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 16.
    """

    def __init__(
        self, in_channels: int = 1, out_channels: int = 4, features: int = 32, *, spatial_dims: int = 2
    ) -> None:
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        positive_integer("features", features)
        dims = one_of("spatial_dims", spatial_dims, (2, 3))
        widths = [features * 2**level for level in range(POOLINGS + 1)]
        before = [in_channels, *widths]
        encoder = [_level(dims, before[level], before[level + 1], level) for level in range(POOLINGS)]
        encoder.append(_center(dims, widths[-2], widths[-1]))
        decoder = [PCLDecoderBlock(dims, 2 * width, width) for width in widths[-2::-1]]
        output = Conv[Conv.CONV, dims](features, out_channels, kernel_size=1, bias=False)
        super().__init__(encoder, decoder, output)
        self.apply(_initialize)


class PCLDecoderBlock(nn.Module):
    """Decoder block: transposed convolution, concatenation with the skip, two units.

    Args:
        dims: number of spatial dimensions.
        below, width: channels of the map from below, and of skip and result.
    """

    def __init__(self, dims: int, below: int, width: int) -> None:
        super().__init__()
        self.up = Conv[Conv.CONVTRANS, dims](below, width, kernel_size=2, stride=2)
        self.units = nn.Sequential(_unit(dims, 2 * width, width), _unit(dims, width, width))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, *2S) from the map below (B, below, *S) and the skip (B, width, *2S)."""
        return self.units(torch.cat([self.up(x), skip], dim=1))


def _level(dims: int, before: int, after: int, level: int) -> nn.Sequential:
    layers: list[nn.Module] = [Pool[Pool.MAX, dims](2)] if level > 0 else []
    return nn.Sequential(*layers, _unit(dims, before, after), _unit(dims, after, after))


def _unit(dims: int, before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        Conv[Conv.CONV, dims](before, after, kernel_size=3, padding=1),
        Norm[Norm.BATCH, dims](after),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _center(dims: int, before: int, after: int) -> nn.Sequential:
    first, second = (Conv[Conv.CONV, dims](width, after, kernel_size=3, padding=1) for width in (before, after))
    return nn.Sequential(Pool[Pool.MAX, dims](2), first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
