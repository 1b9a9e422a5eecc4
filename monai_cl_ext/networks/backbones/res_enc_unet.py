# SPDX-License-Identifier: Apache-2.0
"""Residual encoder U-Net of nnU-Net's plan ResEnc-L."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.networks.backbones.unet_base import UNetBase

SLOPE = 0.01  # of the leaky ReLU, for its negative side


class ResEncUNet(UNetBase):
    """U-Net with a residual encoder, "nnU-Net revisited" (Isensee et al. 2024), and of nnssl's pre-training.

    A unit is convolution with bias, instance normalization with weights, leaky ReLU. The encoder is a unit, then six
    levels of 1, 3, 4, 6, 6 and 6 residual blocks of two 3x3x3 units, the second without its ReLU before the addition.
    All levels but the first halve the size: the first convolution of their first block has stride 2, its skip averages
    2x2x2 voxels. A skip to another width has a 1x1x1 convolution without bias and a normalization. Five decoder blocks
    of a transposed 2x2x2 convolution, concatenation with the skip and one unit; a 1x1x1 convolution to the classes.
    Weights are initialized by He et al. (2015), biases as 0, and so is the last normalization before each addition.
    With one channel and two classes the 3D network, the published plan's, has 102 348 226 parameters, all its layers
    but the heads of deep supervision. The 2D one has the same layers with 2D kernels.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        features: widths of the levels.
        blocks: residual blocks of each level.
        spatial_dims: 2 or 3.

    Raises:
        ValueError: when an argument is out of range, or ``features`` and ``blocks`` differ in length; in ``forward``
            when a spatial size cannot be halved by every level.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        features: Sequence[int] = (32, 64, 128, 256, 320, 320),
        blocks: Sequence[int] = (1, 3, 4, 6, 6, 6),
        *,
        spatial_dims: int = 3,
    ) -> None:
        dims = one_of("spatial_dims", spatial_dims, (2, 3))
        widths = [positive_integer("features", width) for width in features]
        counts = [positive_integer("blocks", count) for count in blocks]
        if len(widths) != len(counts) or len(widths) < 2:
            raise ValueError(f"features and blocks must be as many, and at least two: found {features} and {blocks}")
        stem = _unit(dims, positive_integer("in_channels", in_channels), widths[0])
        encoder = [_level(dims, widths[0], widths[0], counts[0], 1, stem=stem)]
        for before, width, count in zip(widths, widths[1:], counts[1:], strict=False):
            encoder.append(_level(dims, before, width, count, 2))
        decoder = [
            ResEncDecoderBlock(dims, below, width) for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        ]
        output = Conv[Conv.CONV, dims](widths[0], positive_integer("out_channels", out_channels), kernel_size=1)
        super().__init__(encoder, decoder, output)
        self.apply(_initialize)


class ResEncBlock(nn.Module):
    """Residual block of two units; the skip averages and projects where size or width change.

    Args:
        dims: number of spatial dimensions.
        before: channels of the map.
        width: channels of the result.
        stride: 1, or 2 to halve the size.
    """

    def __init__(self, dims: int, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _unit(dims, before, width, stride=stride)
        self.conv2 = _unit(dims, width, width)[:2]
        skip: OrderedDict[str, nn.Module] = OrderedDict()
        if stride > 1:
            skip["pool"] = Pool[Pool.AVG, dims](stride, stride)
        if before != width:
            skip["conv"] = Conv[Conv.CONV, dims](before, width, kernel_size=1, bias=False)
            skip["norm"] = Norm[Norm.INSTANCE, dims](width, affine=True)
        self.skip = nn.Sequential(skip)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, *S / stride) from the map (B, before, *S)."""
        return self.activation(self.conv2(self.conv1(x)) + self.skip(x))


class ResEncDecoderBlock(nn.Module):
    """Decoder block: transposed convolution, concatenation with the skip, one unit.

    Args:
        dims: number of spatial dimensions.
        below: channels of the map from below.
        width: channels of the skip and of the result.
    """

    def __init__(self, dims: int, below: int, width: int) -> None:
        super().__init__()
        self.up = Conv[Conv.CONVTRANS, dims](below, width, kernel_size=2, stride=2)
        self.units = nn.Sequential(_unit(dims, 2 * width, width))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, *2S) from the map below (B, below, *S) and the skip (B, width, *2S)."""
        return self.units(torch.cat((self.up(x), skip), dim=1))


def _level(dims: int, before: int, width: int, count: int, stride: int, stem: nn.Module | None = None) -> nn.Sequential:
    """An encoder level; its first block changes width and size."""
    first = ResEncBlock(dims, before, width, stride)
    blocks = nn.Sequential(first, *(ResEncBlock(dims, width, width, 1) for _ in range(count - 1)))
    parts = OrderedDict({"blocks": blocks} if stem is None else {"stem": stem, "blocks": blocks})
    return nn.Sequential(parts)


def _unit(dims: int, before: int, width: int, stride: int = 1) -> nn.Sequential:
    conv = Conv[Conv.CONV, dims](before, width, kernel_size=3, stride=stride, padding=1)
    norm = Norm[Norm.INSTANCE, dims](width, affine=True)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, activation=nn.LeakyReLU(SLOPE, inplace=True)))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, _ConvNd):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ResEncBlock):
        nn.init.zeros_(module.conv2.get_submodule("norm").weight)  # type: ignore[arg-type]
