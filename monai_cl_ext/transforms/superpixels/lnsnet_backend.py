# SPDX-License-Identifier: Apache-2.0
"""Superpixels by LNSNet (Zhu et al., CVPR 2021), 2D only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .color_place import color_and_place, color_channels
from .registry import backend, learned_segments
from .slic import grid_cells

DISTANCES = 2**24  # of pixels to seeds that are in memory at a time


@backend("lnsnet", module="monai_cl_ext.networks", network="LNSNet")
@torch.no_grad()
def lnsnet(network: nn.Module, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Each pixel joins the seed with the nearest features, whichever it is; place counts through the features alone.

    Seeds are the centers of the cells of a grid. Compactness is what the training made it.
    """
    cells = grid_cells(image.shape[1:], n_segments)
    color = color_channels(image[None])
    features = network(color_and_place(color))[0].flatten(1).T
    seeds = features[seed_index(image.shape[1:], cells).to(features.device)]
    exactly = "donot_use_mm_for_euclid_dist"
    parts = features.split(max(1, DISTANCES // len(seeds)))
    labels = torch.cat([torch.cdist(part, seeds, compute_mode=exactly).argmin(1) for part in parts])
    return learned_segments(labels.view(image.shape[1:]), color, math.prod(cells))


def seed_index(size: Sequence[int], cells: Sequence[int]) -> Tensor:
    """Index of the pixel in the center of each grid cell, (K,) in the flattened image."""
    rows, columns = (
        ((torch.arange(count) + 0.5) * extent / count).long() for extent, count in zip(size, cells, strict=True)
    )
    return (rows[:, None] * size[1] + columns).flatten()
