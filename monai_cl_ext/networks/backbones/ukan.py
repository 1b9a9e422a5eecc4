# SPDX-License-Identifier: Apache-2.0
"""U-KAN of Li et al. 2024: a U-Net whose deepest levels are layers of a Kolmogorov-Arnold network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.networks.backbones.kan_linear import KANLinear
from monai_cl_ext.networks.backbones.sum_unet import SumDecoderBlock, conv_unit, narrowing
from monai_cl_ext.networks.backbones.token_layers import ChannelLayerNorm, initialize_tokens
from monai_cl_ext.networks.backbones.unet_base import UNetBase


class UKAN(UNetBase):
    """U-Net of "U-KAN makes strong backbone for medical image segmentation and generation" (Li et al., AAAI 2025, and
    release), for images.

    With the widths a, b and c: three encoder levels of two units, 3x3 convolution, batch normalization and ReLU, to
    a / 8, a / 4 and a, each followed by 2x2 max-pooling; two of a strided 3x3 convolution with layer normalization, to
    b and c, a :class:`KANBlock` and a layer normalization, so that the bottleneck is at 1/32 of the image's size.
    Decoder blocks have two units, to b, a, a / 4 and a / 8, upsample bilinearly and add the skip; a KAN block with
    normalization follows in the first two, two more units and upsampling to the image's size in the last. A 1x1
    convolution to the classes ends it. The ReLUs that the release has after pooling and upsampling change nothing
    there. With three channels and one class the default widths give 6 356 689 parameters.

    The paper trains the :class:`KANLinear` layers with a learning rate 100 times that of all others.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        widths: a, b and c; a is a multiple of 8.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 32.
    """

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int] = (128, 160, 256)) -> None:
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        if len(widths) != 3 or positive_integer("widths", widths[0]) % 8:
            raise ValueError(f"widths must be three numbers, the first a multiple of 8, found {widths}")
        first, second, third = (positive_integer("widths", width) for width in widths)
        steps = (in_channels, first // 8, first // 4, first)
        encoder = [_level(before, after) for before, after in zip(steps, steps[1:], strict=False)]
        encoder += [_token_level(first, second), _token_level(second, third)]
        last = nn.Sequential(narrowing(first // 8, first // 8), nn.Upsample(scale_factor=2.0, mode="bilinear"))
        decoder = [
            SumDecoderBlock(narrowing(third, second), _mixed(second)),
            SumDecoderBlock(narrowing(second, first), _mixed(first)),
            SumDecoderBlock(narrowing(first, first // 4), nn.Identity()),
            SumDecoderBlock(narrowing(first // 4, first // 8), last),
        ]
        super().__init__(encoder, decoder, nn.Conv2d(first // 8, out_channels, kernel_size=1))
        self.multiple = 2 ** len(encoder)  # the first level halves the size, too


class KANBlock(nn.Module):
    """Residual block: layer normalization, then thrice a KAN linear layer and a depthwise convolution unit.

    Args:
        channels: of the map and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelLayerNorm(channels)
        self.layers = nn.Sequential(*(KANUnit(channels) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) from one of the same shape."""
        return x + self.layers(self.norm(x))


class KANUnit(nn.Module):
    """KAN linear layer at each position, then a depthwise 3x3 convolution, batch normalization and ReLU.

    Args:
        channels: of the map and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = KANLinear(channels, channels)
        conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels)
        self.local = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU()).apply(initialize_tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) from one of the same shape."""
        return self.local(self.linear(x.movedim(1, -1)).movedim(-1, 1))


def _level(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(conv_unit(before, after), conv_unit(after, after), nn.MaxPool2d(2))


def _token_level(before: int, after: int) -> nn.Sequential:
    embedding = nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1).apply(initialize_tokens)
    return nn.Sequential(embedding, ChannelLayerNorm(after), *_mixed(after))


def _mixed(channels: int) -> nn.Sequential:
    return nn.Sequential(KANBlock(channels), ChannelLayerNorm(channels))
