# SPDX-License-Identifier: Apache-2.0
"""Dense displacement fields: warping by them, and where they fold."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def warped(maps: Tensor, field: Tensor) -> Tensor:
    """Maps that show at p what was at p - field(p), bilinear, with the border's values beyond it.

    As TensorFlow's dense warp has it, and ``monai.networks.blocks.Warp`` of the negative field; that one copies the
    order of the axes from the host in every call.

    Args:
        maps: (B, C, *S).
        field: (B, axes, *S), in pixels, in the order of the axes.
    """
    places = torch.meshgrid(*(torch.arange(side, device=field.device) for side in field.shape[2:]), indexing="ij")
    scaled = [
        (place - shift) * (2 / max(side - 1, 1)) - 1
        for place, shift, side in zip(places, field.unbind(1), field.shape[2:], strict=True)
    ]
    return grid_sample(maps, torch.stack(scaled[::-1], dim=-1), "bilinear", "border", align_corners=True)


def folded(field: Tensor) -> Tensor:
    """Share of the pixels where p - field(p) folds: its Jacobian determinant, by differences, is 0 or less.

    Args:
        field: (B, axes, *S), in pixels, of at least two along each axis.
    """
    axes = range(field.shape[1])
    slopes = [
        [float(row == column) - field.diff(dim=2 + column)[:, row][_cut(column, len(axes))] for column in axes]
        for row in axes
    ]
    determinant = torch.zeros_like(slopes[0][0])
    for order in itertools.permutations(axes):
        turns = sum(first > second for first, second in itertools.combinations(order, 2))
        determinant = determinant + (-1) ** turns * math.prod(slopes[row][order[row]] for row in axes)
    return (determinant <= 0).to(determinant.dtype).mean()


def _cut(differenced: int, axes: int) -> tuple[slice, ...]:
    """All pixels but the last of each axis, of which differences have one less along theirs."""
    return (slice(None), *(slice(None) if axis == differenced else slice(-1) for axis in range(axes)))
