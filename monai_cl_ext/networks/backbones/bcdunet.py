# SPDX-License-Identifier: Apache-2.0
"""BCDU-Net of Azad et al. 2019: a U-Net whose skips are merged by convolutional LSTMs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.networks.backbones.conv_lstm import ConvLSTM
from monai_cl_ext.networks.backbones.unet_base import UNetBase

DROPOUT = 0.5


class BCDUNet(UNetBase):
    """BCDU-Net of "Bi-directional ConvLSTM U-Net with densely connected convolutions" (Azad et al. 2019, and release).

    A unit is 3x3 convolution with bias, batch normalization (where ``norm``), ReLU. Three encoder levels of two units,
    1, 2 and 4 times ``width`` wide, 2x2 max-pooling between them and before the bottleneck, which is 8 times as wide: a
    dense block of two units, and others of which each has all results of those before it. Three decoder blocks of a
    transposed 2x2 convolution with batch normalization and ReLU, a convolutional LSTM that reads this map and then the
    skip, half as wide as they are, and two units. One class alone has a unit of two channels before the last 1x1
    convolution, as in the release; several have this convolution. Values are dropped in training, half of them, after
    each dense block and in the deepest skip.

    The release reads in this one order and has no normalization in its units; ``bidirectional=False, norm=False`` is
    that network, of 8 860 293 parameters with one dense block and 20 658 821 with three, for one channel and one class.
    With ``bidirectional`` a second LSTM, as wide, reads the skip and then the map from below, as the paper has it: the
    states of both are concatenated, and the convolution behind them merges them. Weights are initialized by He et al.
    (2015), biases as 0. The network is 2D.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        width: of the first level; the paper has 64.
        dense_blocks: at the bottleneck; the paper has 1 and 3.
        bidirectional: whether skip and map from below are read in both orders.
        norm: whether units have batch normalization.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 8.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        dense_blocks: int = 1,
        bidirectional: bool = True,
        norm: bool = True,
    ) -> None:
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        if positive_integer("width", width) % 2:
            raise ValueError(f"width must be even, for the LSTMs of half of it, found {width}: take {width + 1}")
        widths = [width, 2 * width, 4 * width]
        encoder = [
            nn.Sequential(*_pool(level > 0), *_units(before, after, norm))
            for level, (before, after) in enumerate(zip([in_channels, *widths], widths, strict=False))
        ]
        bottom = DenseBottleneck(widths[-1], 8 * width, positive_integer("dense_blocks", dense_blocks), norm)
        encoder.append(nn.Sequential(*_pool(True), bottom))
        decoder = [
            BCDUDecoderBlock(2 * after, after, bidirectional, norm, dropout)
            for after, dropout in zip(widths[::-1], (True, False, False), strict=True)
        ]
        several = nn.Conv2d(width, out_channels, kernel_size=1)
        output = nn.Sequential(_unit(width, 2, norm), nn.Conv2d(2, 1, kernel_size=1)) if out_channels == 1 else several
        super().__init__(encoder, decoder, output)
        self.apply(_initialize)


class DenseBottleneck(nn.Module):
    """Densely connected blocks: each takes the results of all before it, the latest first, and drops half its values.

    Args:
        before: channels of the map.
        width: channels of the result, and of each block's.
        blocks: number of blocks.
        norm: whether units have batch normalization.
    """

    def __init__(self, before: int, width: int, blocks: int, norm: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(*_units(before if index == 0 else index * width, width, norm), nn.Dropout(DROPOUT))
            for index in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, *S) from the map (B, before, *S)."""
        results: list[Tensor] = []
        for block in self.blocks:
            x = block(x if len(results) == 0 else torch.cat(results, dim=1))
            results.insert(0, x)
        return x


class BCDUDecoderBlock(nn.Module):
    """Decoder block: transposed convolution, LSTMs over its map and the skip, two units.

    Args:
        below: channels of the map from below.
        width: channels of the skip and of the result.
        bidirectional: whether a second LSTM reads them the other way round.
        norm: whether units have batch normalization.
        dropout: whether half of the skip's values are dropped in training.
    """

    def __init__(self, below: int, width: int, bidirectional: bool, norm: bool, dropout: bool) -> None:
        super().__init__()
        up = nn.ConvTranspose2d(below, width, kernel_size=2, stride=2)
        self.up = nn.Sequential(up, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(DROPOUT) if dropout else nn.Identity()
        self.up_then_skip = ConvLSTM(width, width // 2)
        self.skip_then_up = ConvLSTM(width, width // 2) if bidirectional else None
        self.units = nn.Sequential(*_units(width if bidirectional else width // 2, width, norm))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width, *2S) from the map below (B, below, *S) and the skip (B, width, *2S)."""
        x, skip = self.up(x), self.dropout(skip)
        state = self.up_then_skip(x, skip)
        if self.skip_then_up is not None:
            state = torch.cat([state, self.skip_then_up(skip, x)], dim=1)
        return self.units(state)


def _pool(wanted: bool) -> list[nn.Module]:
    return [nn.MaxPool2d(2)] if wanted else []


def _units(before: int, width: int, norm: bool) -> list[nn.Module]:
    return [_unit(before, width, norm), _unit(width, width, norm)]


def _unit(before: int, width: int, norm: bool) -> nn.Sequential:
    normalization: list[nn.Module] = [nn.BatchNorm2d(width)] if norm else []
    conv = nn.Conv2d(before, width, kernel_size=3, padding=1)
    return nn.Sequential(conv, *normalization, nn.ReLU(inplace=True))


def _initialize(module: nn.Module) -> None:
    """Called with children before their parent, so that a ConvLSTM has the last word on its convolutions."""
    if isinstance(module, ConvLSTM):
        module.reset_parameters()
    elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
