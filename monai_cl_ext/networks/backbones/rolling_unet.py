# SPDX-License-Identifier: Apache-2.0
"""Rolling-UNet of Liu et al. 2024: linear layers between channels that are rolled along rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, probability
from monai_cl_ext.networks.backbones.sum_unet import SumDecoderBlock, conv_unit, narrowing
from monai_cl_ext.networks.backbones.token_layers import ChannelLayerNorm, initialize_tokens
from monai_cl_ext.networks.backbones.unet_base import UNetBase

ROWS, COLUMNS = 1, 2  # axes of tokens (B, H, W, C)


class RollingUNet(UNetBase):
    """U-Net of "Rolling-Unet: Revitalizing MLP's ability to efficiently extract long-distance dependencies for medical
    image segmentation" (Liu et al., AAAI 2024, and release), for images.

    With the widths c, 2c, 4c, 8c and 16c: three encoder levels of two units, 3x3 convolution, batch normalization and
    ReLU; two of a 3x3 convolution with GELU and layer normalization, a :class:`Lo2` and a layer normalization; 2x2
    max-pooling between the levels. Decoder blocks upsample bilinearly and add the skip: the first has such a
    convolution to 8c before and a Lo2 with normalization after the sum; the second a unit to 4c; the next two units
    each, to 2c and to c. Two units to c / 2 and a 1x1 convolution to the classes end it. Layers of the release that
    it does not use are left out. With three channels and one class the paper's S, M and L, of width 16, 32 and 64,
    have 1 782 161, 7 096 353 and 28 320 833 parameters.

    Args:
        in_channels: channels of the image.
        out_channels: classes, background included.
        width: c, an even number.
        dropout: after each linear layer of the bottleneck's Lo2; the paper has 0.1, 0.2 and 0.3 for S, M and L.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when a spatial size is no multiple of 16.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 16, dropout: float = 0.1) -> None:
        positive_integer("in_channels", in_channels)
        positive_integer("out_channels", out_channels)
        if positive_integer("width", width) % 2:
            raise ValueError(f"width must be an even number, since the last units have half of it, found {width}")
        widths = [width * 2**level for level in range(5)]
        before = [in_channels, *widths]
        encoder = [_level(before[level], widths[level], level) for level in range(3)]
        encoder += [
            _token_level(before[3], widths[3], 0.0),
            _token_level(before[4], widths[4], probability("dropout", dropout)),
        ]
        mixed = nn.Sequential(Lo2(widths[3]), ChannelLayerNorm(widths[3]))
        decoder = [
            SumDecoderBlock(_incentive(widths[4], widths[3]), mixed),
            SumDecoderBlock(conv_unit(widths[3], widths[2]), nn.Identity()),
            *(SumDecoderBlock(narrowing(after * 2, after), nn.Identity()) for after in (widths[1], widths[0])),
        ]
        output = nn.Sequential(narrowing(width, width // 2), nn.Conv2d(width // 2, out_channels, kernel_size=1))
        super().__init__(encoder, decoder, output)


class Lo2(nn.Module):
    """Long-term and local dependencies: two rolling MLPs beside a depthwise separable convolution.

    The MLPs roll along rows then columns, and backward along columns then forward along rows, so that the places which
    meet lie on both diagonals. Both results pass a layer normalization, a linear layer and are added to the input; with
    the convolution's (3x3 depthwise, 1x1, ReLU, batch normalization) they pass a last linear layer.

    Args:
        channels: of the map and of the result.
        dropout: after each linear layer.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.forward_mlp = RollingMLP(channels, (ROWS, COLUMNS), (1, 1), dropout)
        self.backward_mlp = RollingMLP(channels, (COLUMNS, ROWS), (-1, 1), dropout)
        self.norm = nn.LayerNorm(2 * channels)
        self.join = nn.Linear(2 * channels, channels)
        self.local = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels),
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
        )
        self.merge = nn.Linear(2 * channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.apply(initialize_tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) from one of the same shape."""
        tokens = x.movedim(1, -1)
        both = torch.cat((self.forward_mlp(tokens), self.backward_mlp(tokens)), dim=-1)
        distant = self.dropout(self.join(self.norm(both))) + tokens
        near = self.local(x).movedim(1, -1)
        return self.dropout(self.merge(torch.cat((distant, near), dim=-1))).movedim(-1, 1)


class RollingMLP(nn.Module):
    """Orthogonal rolling MLP: roll, linear layer, GELU, roll along the other axis, linear layer, sum with the input.

    Args:
        channels: of the tokens.
        axes: of the tokens (B, H, W, C), along which they are rolled first and second.
        steps: of either roll, 1 or -1.
        dropout: after each linear layer.
    """

    def __init__(self, channels: int, axes: tuple[int, int], steps: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.axes, self.steps = axes, steps
        self.hidden = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Dropout(dropout))
        self.result = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(dropout))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, H, W, channels) from such."""
        hidden = self.hidden(roll_channels(tokens, self.axes[0], self.steps[0]))
        return self.result(roll_channels(hidden, self.axes[1], self.steps[1])) + tokens


def roll_channels(tokens: Tensor, axis: int, step: int) -> Tensor:
    """Tokens (B, H, W, C) with channel c rolled cyclically by ``step * c`` places along ``axis``, by one gather."""
    size, channels = tokens.shape[axis], tokens.shape[-1]
    places = torch.arange(size, device=tokens.device)[:, None]
    shifts = torch.arange(channels, device=tokens.device) * step
    sources = (places - shifts).remainder(size).unsqueeze(2 - axis)  # (H, 1, C) or (1, W, C)
    return tokens.gather(axis, sources.expand_as(tokens))


def _level(before: int, after: int, level: int) -> nn.Sequential:
    pool: list[nn.Module] = [nn.MaxPool2d(2)] if level > 0 else []
    return nn.Sequential(*pool, conv_unit(before, after), conv_unit(after, after))


def _token_level(before: int, after: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.MaxPool2d(2), _incentive(before, after), Lo2(after, dropout), ChannelLayerNorm(after))


def _incentive(before: int, after: int) -> nn.Sequential:
    """The paper's feature incentive block."""
    conv = nn.Conv2d(before, after, kernel_size=3, padding=1)
    return nn.Sequential(conv, nn.GELU(), ChannelLayerNorm(after)).apply(initialize_tokens)
