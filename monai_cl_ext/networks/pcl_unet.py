# SPDX-License-Identifier: Apache-2.0
"""The U-Net of Zeng et al. 2021 (PCL, SuperCL): five levels, transposed convolutions, batch normalisation."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer

POOLINGS = 4
SLOPE = 0.01  # of leaky ReLU; the weights start for this slope, too


class PCLUNet(nn.Module):
    """U-Net of "Positional contrastive learning for volumetric medical image segmentation" (Zeng et al. 2021, release).

    A unit is 3x3 convolution with bias, batch normalisation, leaky ReLU with slope 0.01. Four encoder levels of two
    units with 2x2 max-pooling after each; a centre level of two 3x3 convolutions with ReLU and no normalisation; four
    decoder blocks of 2x2 transposed convolution, concatenation [up, skip] and two units; a 1x1 convolution without bias
    to the classes. Weights start Kaiming-normal (slope 0.01, fan-in), biases as 0. In 2D, with one channel and four
    classes, 32 features give 7 763 456 parameters, 4 713 568 of them in the encoder; 48 give 17 462 016 and 10 602 384.
    In 3D every kernel gains an axis.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        features: width of the first level, doubled with each that follows; in the paper 32 for CHD and MMWHS, 48 for
            ACDC and HVSMR.
        spatial_dims: 2 or 3.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 16.
    """

    def __init__(
        self, in_channels: int = 1, out_channels: int = 4, features: int = 32, *, spatial_dims: int = 2
    ) -> None:
        super().__init__()
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        positive_integer("features", features)
        dims = one_of("spatial_dims", spatial_dims, (2, 3))
        widths = [features * 2**level for level in range(POOLINGS + 1)]
        before = [in_channels, *widths]
        self.encoder = nn.ModuleList(_level(dims, before[level], before[level + 1], level) for level in range(POOLINGS))
        self.encoder.append(_centre(dims, widths[-2], widths[-1]))
        self.decoder = nn.ModuleList(PCLDecoderBlock(dims, 2 * width, width) for width in widths[-2::-1])
        self.output = Conv[Conv.CONV, dims](features, out_channels, kernel_size=1, bias=False)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, *S) of the images (B, in_channels, *S)."""
        for size in x.shape[2:]:
            if size % 16 != 0:
                raise ValueError(f"PCLUNet pools four times: each spatial size must be a multiple of 16, found {size}")
        features: list[Tensor] = []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        for index, block in enumerate(self.decoder):
            x = block(x, features[len(features) - 2 - index])
        return self.output(x)


class PCLDecoderBlock(nn.Module):
    """Doubles a map with a transposed convolution, joins the skip and applies two units.

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


def _centre(dims: int, before: int, after: int) -> nn.Sequential:
    first, second = (Conv[Conv.CONV, dims](width, after, kernel_size=3, padding=1) for width in (before, after))
    return nn.Sequential(Pool[Pool.MAX, dims](2), first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
