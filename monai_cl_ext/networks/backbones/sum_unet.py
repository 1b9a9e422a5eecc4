# SPDX-License-Identifier: Apache-2.0
"""Convolution units and decoder blocks of 2D U-Nets that add their skips, Rolling-UNet and U-KAN."""

from __future__ import annotations

from torch import Tensor, nn


def conv_unit(before: int, after: int) -> nn.Sequential:
    """3x3 convolution with bias, batch normalization, ReLU."""
    conv = nn.Conv2d(before, after, kernel_size=3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def narrowing(before: int, after: int) -> nn.Sequential:
    """Two units, the second of which changes the width."""
    return nn.Sequential(conv_unit(before, before), conv_unit(before, after))


class SumDecoderBlock(nn.Module):
    """Decoder block: units, bilinear upsampling by 2, addition of the skip, what refines the sum.

    Args:
        units: from the map below to one with the skip's channels.
        refine: from the sum to the block's map.
    """

    def __init__(self, units: nn.Module, refine: nn.Module) -> None:
        super().__init__()
        self.units = units
        self.up = nn.Upsample(scale_factor=2.0, mode="bilinear")
        self.refine = refine

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """What ``refine`` makes of the sum (B, C, *2S), from the map below (B, below, *S) and the skip (B, C, *2S)."""
        return self.refine(self.up(self.units(x)) + skip)
