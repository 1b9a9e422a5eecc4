# SPDX-License-Identifier: Apache-2.0
"""Separable sampling of a volume, one axis after the other, for crops, resizing and flips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def axis_coordinates(theta: Tensor, size: Sequence[int], output_size: Sequence[int]) -> list[Tensor] | None:
    """Coordinate of each output voxel along each axis of the input, in voxels; None where axes are rotated.

    Args:
        theta: matrices (B, d, d + 1) in the coordinates of ``torch.nn.functional.grid_sample``.
        size: spatial size of the input.
        output_size: spatial size of the output.

    Returns:
        for each axis (B, output voxels).
    """
    dims = len(size)
    linear = theta[:, :, :dims]
    if (linear != torch.diag_embed(linear.diagonal(dim1=1, dim2=2))).any():
        return None
    coordinates = []
    for axis, (length, output_length) in enumerate(zip(size, output_size, strict=True)):
        row = dims - 1 - axis  # the last array axis comes first
        last = 1 - 1 / output_length  # the center of the outermost voxel
        centers = torch.linspace(-last, last, output_length, dtype=theta.dtype)
        along = theta[:, row, row, None] * centers + theta[:, row, dims, None]
        coordinates.append((along + 1) * length / 2 - 0.5)
    return coordinates


def sample_linear(values: Tensor, coordinates: Sequence[Tensor], padding_mode: str) -> Tensor:
    """Values (B, C, *S) interpolated linearly at the coordinates (B, voxels) of each axis.

    One axis after the other is far faster than gathering the eight neighbors of each voxel.

    Args:
        values: float32 or float64.
        coordinates: of :func:`axis_coordinates`, on the device of the values.
        padding_mode: "border" or "zeros", as in ``grid_sample``.
    """
    for axis, along in enumerate(coordinates, start=2):
        inside = along.clamp(0, values.shape[axis] - 1) if padding_mode == "border" else along
        rows = values.device.type == "cpu" and axis < values.ndim - 1
        values = (_by_rows if rows else _by_matrix)(values, inside, axis)
    return values


def _by_matrix(values: Tensor, along: Tensor, axis: int) -> Tensor:
    """Interpolation along an axis as a product with matrices of two weights per row."""
    voxels = torch.arange(values.shape[axis], device=along.device, dtype=along.dtype)
    weights = (1 - (along[:, :, None] - voxels).abs()).clamp(min=0)
    if axis == values.ndim - 1:
        return (values.flatten(1, -2) @ weights.mT).unflatten(1, values.shape[1:-1])
    rows = values.flatten(axis + 1).flatten(1, axis - 1)
    return (weights[:, None] @ rows).reshape(*values.shape[:axis], -1, *values.shape[axis + 1 :])


def _by_rows(values: Tensor, along: Tensor, axis: int) -> Tensor:
    """Interpolation along an axis as a weighted sum of two copies, sample by sample, in contiguous pieces."""
    low, last = along.floor(), values.shape[axis] - 1
    shape = [-1 if each == axis else 1 for each in range(1, values.ndim)]
    result = values.new_empty(*values.shape[:axis], along.shape[1], *values.shape[axis + 1 :])
    for number, (sample, first, weight) in enumerate(zip(values, low, along - low, strict=True)):
        (below, near), (above, far) = (
            (voxel.clamp(0, last).long(), part.where((voxel >= 0) & (voxel <= last), 0).reshape(shape))
            for voxel, part in ((first, 1 - weight), (first + 1, weight))
        )
        blended = sample.index_select(axis - 1, below).mul_(near)
        result[number] = blended.addcmul_(sample.index_select(axis - 1, above), far)
    return result


def sample_nearest(values: Tensor, coordinates: Sequence[Tensor]) -> Tensor:
    """Values (B, C, *S) of the voxels nearest to the coordinates (B, voxels) of each axis, 0 outside; any dtype."""
    for axis, along in enumerate(coordinates, start=2):
        nearest, length = along.round(), values.shape[axis]
        shape = [len(along), *[-1 if each == axis else 1 for each in range(1, values.ndim)]]
        inside = ((nearest >= 0) & (nearest < length)).reshape(shape)
        voxels = nearest.clamp(0, length - 1).long().reshape(shape)
        values = values.take_along_dim(voxels, axis).where(inside, 0)
    return values
