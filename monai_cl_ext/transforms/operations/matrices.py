# SPDX-License-Identifier: Apache-2.0
"""Homogeneous matrices of affine operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def homogeneous(linear: Tensor, offset: Tensor | None = None) -> Tensor:
    """Homogeneous matrices (B, d + 1, d + 1) of x -> linear x + offset, from (B, d, d) and (B, d)."""
    batch_size, dims, _ = linear.shape
    matrix = torch.eye(dims + 1, dtype=linear.dtype).repeat(batch_size, 1, 1)
    matrix[:, :dims, :dims] = linear
    if offset is not None:
        matrix[:, :dims, dims] = offset
    return matrix


def box_matrix(sides: Tensor, location: Tensor, size: Sequence[int]) -> Tensor:
    """Matrices that crop a box and resize it to the full size.

    Args:
        sides: of the box as fractions of the image's, (B, d).
        location: of the box along each axis, 0 at the low and 1 at the high end, (B, d).
        size: spatial size of the image in voxels.
    """
    sides, location = sides.double(), location.double()
    offset = (location - 0.5) * (1 - sides) * torch.tensor(size, dtype=torch.float64)
    return homogeneous(torch.diag_embed(sides), offset)


def rotation_matrix(degrees: Tensor, spatial_dims: int) -> Tensor:
    """Matrices that rotate the content of an image, from angles (B, 1) in 2D or (B, 3) in 3D.

    They lead from output to input coordinates, so each is the inverse of the rotation that one sees.
    """
    planes = [(0, 1)] if spatial_dims == 2 else [(1, 2), (2, 0), (0, 1)]
    linear = torch.eye(spatial_dims, dtype=torch.float64).repeat(len(degrees), 1, 1)
    for angle, (first, second) in zip(degrees.double().deg2rad().unbind(1), planes, strict=True):
        rotation = torch.eye(spatial_dims, dtype=torch.float64).repeat(len(degrees), 1, 1)
        rotation[:, first, first] = rotation[:, second, second] = angle.cos()
        rotation[:, first, second] = angle.sin()
        rotation[:, second, first] = -angle.sin()
        linear = linear @ rotation
    return homogeneous(linear)


def centering(size: Sequence[int], reference: Sequence[int]) -> Tensor:
    """The matrix from voxel indices of a lattice to voxels of the reference lattice from the common center."""
    scale = torch.tensor(reference, dtype=torch.float64) / torch.tensor(size, dtype=torch.float64)
    matrix = torch.diag(torch.cat([scale, torch.ones(1, dtype=torch.float64)]))
    matrix[:-1, -1] = -scale * (torch.tensor(size, dtype=torch.float64) - 1) / 2
    return matrix
