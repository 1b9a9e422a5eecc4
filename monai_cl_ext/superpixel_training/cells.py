# SPDX-License-Identifier: Apache-2.0
"""Soft assignment of pixels to the nine cells around them, as SuperpixelFCN gives it (Yang et al., CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

OFFSETS = [(row, column) for row in range(3) for column in range(3)]
"""Of the neighbors, row by row, from the cell above and left of a pixel's own; the fifth is its own."""


def cell_means(values: Tensor, assignment: Tensor, side: int) -> Tensor:
    """The mean of each cell over the pixels of the 3 x 3 cells around it, weighted by how much they belong to it.

    What pixels at the border give to cells beyond it is lost. A cell to which nothing belongs has the mean 0.

    Args:
        values: (B, F, H, W).
        assignment: (B, 9, H, W), of each pixel to the cells around its own.
        side: pixels along each axis of a cell; H and W are multiples of it.

    Returns:
        (B, F, H / side, W / side).
    """
    ones = torch.ones_like(values[:, :1])
    given = torch.einsum(
        "bnrycx,bfrycx->bnfrc", _in_cells(assignment, side), _in_cells(torch.cat([values, ones], 1), side)
    )
    rows, columns = given.shape[3:]
    received = given.new_zeros(len(given), given.shape[2], rows + 2, columns + 2)
    for number, (row, column) in enumerate(OFFSETS):
        received[:, :, row : row + rows, column : column + columns] += given[:, number]
    inside = received[:, :, 1:-1, 1:-1]
    return inside[:, :-1] / (inside[:, -1:] + 1e-8)


def from_cells(means: Tensor, assignment: Tensor, side: int) -> Tensor:
    """Each pixel's value as the cells around it tell it, weighted by how much it belongs to them; beyond the border 0.

    Args:
        means: (B, F, R, C) of cells.
        assignment: (B, 9, R * side, C * side).
        side: pixels along each axis of a cell.

    Returns:
        (B, F, R * side, C * side).
    """
    rows, columns = means.shape[2:]
    wide = torch.nn.functional.pad(means, (1, 1, 1, 1))
    around = torch.stack([wide[:, :, row : row + rows, column : column + columns] for row, column in OFFSETS], dim=1)
    found = torch.einsum("bnrycx,bnfrc->bfrycx", _in_cells(assignment, side), around)
    return found.flatten(4, 5).flatten(2, 3)


def _in_cells(values: Tensor, side: int) -> Tensor:
    """(B, C, R, side, C, side) of (B, C, H, W)."""
    return values.unflatten(3, (-1, side)).unflatten(2, (-1, side))
