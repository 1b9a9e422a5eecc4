# SPDX-License-Identifier: Apache-2.0
"""What two processes compute together under positions, neighbor graphs and superpixels."""

from __future__ import annotations

import torch
from loss_cases import Case
from torch import Tensor

from monai_cl_ext.losses import (
    PositionContrastiveLoss,
    SuperpixelContrastiveLoss,
    SuperpixelGraphContrastiveLoss,
    WeakGraphContrastiveLoss,
)

GENERATOR = torch.Generator().manual_seed(4)
FEATURES = torch.randn(2, 8, 3, 4, 4, dtype=torch.float64, generator=GENERATOR)
SUPERPIXELS = torch.randint(3, (2, 8, 4, 4), generator=GENERATOR)
POSITION = torch.tensor([0.25, 0.5, 0.75, 1, 0.2, 0.4, 0.6, 0.8])


def position(z: Tensor, own: slice) -> Tensor:
    return PositionContrastiveLoss(0.1, base_temperature=0.07)(*z[:, own], POSITION[own])


def scattered(z: Tensor, own: slice) -> Tensor:
    """Only the samples of process 0 have a position."""
    place = POSITION.where(torch.arange(8) < 4, torch.nan)
    return PositionContrastiveLoss(0.3)(*z[:, own], place[own])


def nowhere(z: Tensor, own: slice) -> Tensor:
    return PositionContrastiveLoss(0.1)(*z[:, own], torch.full((8,), torch.nan)[own])


def weak_graph(z: Tensor, own: slice) -> Tensor:
    return WeakGraphContrastiveLoss(0.1)(*z[:, own])


def superpixel(z: Tensor, own: slice) -> Tensor:
    """Each row of z, (V, 8, 48), is a map of 4x4 pixels and 3 channels."""
    return SuperpixelContrastiveLoss(0.1)(*z[:, own].unflatten(-1, (3, 4, 4)), SUPERPIXELS[0, own])


def superpixel_graph(z: Tensor, own: slice) -> Tensor:
    return SuperpixelGraphContrastiveLoss(0.1, base_temperature=0.07)(
        *z[:, own], *FEATURES[:, own], *SUPERPIXELS[:, own]
    )


def tied_graph(z: Tensor, own: slice) -> Tensor:
    """Image 7 of view 1 is as near to 5 and 6 of view 1 as to 0 and 1 of view 2; the first of all rows decides."""
    maps = torch.eye(8, dtype=z.dtype)[torch.tensor([[3, 3, 3, 4, 4, 2, 2, 0], [1, 1, 5, 5, 6, 6, 7, 7]])]
    maps[0, 7] = maps[0, 5] + maps[1, 0]
    pixels = torch.arange(8).expand(2, 8, 8)
    return SuperpixelGraphContrastiveLoss(0.1)(*z[:, own], *maps[:, own, None], *pixels[:, own])


CASES = {
    "position": Case(position, first=3),
    "position, a process without positives": Case(scattered),
    "position, an empty process": Case(position, first=8),
    "position, no positive anywhere": Case(nowhere, first=5),
    "weak graph": Case(weak_graph),
    "weak graph, unequal": Case(weak_graph, first=3),
    "weak graph, a process with one sample": Case(weak_graph, first=7),
    "weak graph, an empty process": Case(weak_graph, first=0),
    "superpixel": Case(superpixel, width=48),
    "superpixel, unequal": Case(superpixel, first=3, width=48),
    "superpixel, an empty process": Case(superpixel, first=8, width=48),
    "superpixel graph": Case(superpixel_graph),
    "superpixel graph, unequal": Case(superpixel_graph, first=5),
    "superpixel graph, an empty process": Case(superpixel_graph, first=0),
    "superpixel graph, ties": Case(tied_graph, first=3),
}
