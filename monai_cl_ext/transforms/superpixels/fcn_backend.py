# SPDX-License-Identifier: Apache-2.0
"""Superpixels by SuperpixelFCN (Yang et al., CVPR 2020), 2D only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .color_place import color_channels
from .registry import backend, learned_segments
from .slic import grid_cells

SIDE = 16
"""Pixels along each axis of the cells that the network knows."""


@backend("superpixel_fcn", module="monai_cl_ext.networks", network="SuperpixelFCN")
@torch.no_grad()
def superpixel_fcn(network: nn.Module, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Each pixel joins the most probable of the nine cells around it; beyond the border lies the border's own cell.

    The image is scaled so that about ``n_segments`` cells of 16 x 16 pixels cover it, and the map is scaled back.
    Compactness is what the training made it.
    """
    cells = grid_cells(image.shape[1:], n_segments)
    color = color_channels(image[None])
    labels = cell_labels(network(network_input(color_at(color, cells))))
    whole = interpolate(labels[:, None].float(), tuple(image.shape[1:]), mode="nearest-exact")[0, 0].long()
    return learned_segments(whole, color, math.prod(cells))


def color_at(color: Tensor, cells: Sequence[int]) -> Tensor:
    """Colors (B, 3, H, W) scaled bicubically to as many cells of 16 x 16 pixels along each axis."""
    return interpolate(color, [SIDE * count for count in cells], mode="bicubic", align_corners=False)


def network_input(color: Tensor) -> Tensor:
    """Colors (B, 3, H, W) in units of Lab as the network takes them: around 0, and within about 1."""
    scaled = color / 100
    return torch.cat([scaled[:, :1] - 0.5, scaled[:, 1:]], dim=1)


def cell_labels(probabilities: Tensor) -> Tensor:
    """The most probable cell (B, H, W) of each pixel, counted row by row, by the probabilities (B, 9, H, W)."""
    choice = probabilities.argmax(1)
    height, width = choice.shape[1:]
    rows, columns = (torch.arange(size, device=choice.device) // SIDE for size in (height, width))
    row = (rows[:, None] + choice // 3 - 1).clamp(0, height // SIDE - 1)
    column = (columns + choice % 3 - 1).clamp(0, width // SIDE - 1)
    return row * (width // SIDE) + column
