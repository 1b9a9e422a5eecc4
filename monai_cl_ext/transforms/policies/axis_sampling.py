# SPDX-License-Identifier: Apache-2.0
"""Separable sampling of a volume, one axis after the other, for crops, resizing and flips."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

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
    if padding_mode == "border":
        sides = values.shape[2:]
        coordinates = [along.clamp(0, side - 1) for along, side in zip(coordinates, sides, strict=True)]
    if values.device.type != "cpu":
        return _along_each_axis(values, coordinates)
    samples = [
        _along_each_axis(*_needed(values[row : row + 1], [along[row : row + 1] for along in coordinates]))
        for row in range(len(values))
    ]
    return samples[0] if len(samples) == 1 else torch.cat(samples)


def _along_each_axis(values: Tensor, coordinates: Sequence[Tensor]) -> Tensor:
    """The passes of :func:`sample_linear`, the last axis last."""
    for axis, along in enumerate(coordinates, start=2):
        rows = values.device.type == "cpu" and axis < values.ndim - 1
        values = (_by_rows if rows else _by_matrix)(values, along, axis)
    return values


def _needed(values: Tensor, coordinates: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The box of a sample (1, C, *S) that is read, such as a crop, and the coordinates in it.

    The first passes would else resample what the later ones leave out.
    """
    inside = []
    for axis, along in enumerate(coordinates, start=2):
        last = values.shape[axis] - 1
        low, high = (min(max(floor(float(end)), 0), last) for end in (along.min(), along.max() + 1))
        values = values.narrow(axis, low, high - low + 1)
        inside.append(along - low)
    return values, inside


def _by_matrix(values: Tensor, along: Tensor, axis: int) -> Tensor:
    """Interpolation along an axis as a product with matrices of two weights per row."""
    voxels = torch.arange(values.shape[axis], device=along.device, dtype=along.dtype)
    weights = (1 - (along[:, :, None] - voxels).abs()).clamp(min=0)
    if axis == values.ndim - 1:
        return (values.flatten(1, -2) @ weights.mT).unflatten(1, values.shape[1:-1])
    rows = values.flatten(axis + 1).flatten(1, axis - 1)
    return (weights[:, None] @ rows).reshape(*values.shape[:axis], -1, *values.shape[axis + 1 :])


def _by_rows(values: Tensor, along: Tensor, axis: int) -> Tensor:
    """Interpolation of a single sample along an axis as a weighted sum of two copies, in contiguous pieces."""
    low, last = along[0].floor(), values.shape[axis] - 1
    shape = [-1 if each == axis else 1 for each in range(values.ndim)]
    (below, near), (above, far) = (
        (voxel.clamp(0, last).long(), part.where((voxel >= 0) & (voxel <= last), 0).reshape(shape))
        for voxel, part in ((low, 1 - along[0] + low), (low + 1, along[0] - low))
    )
    blended = values.index_select(axis, below).mul_(near)
    return blended.addcmul_(values.index_select(axis, above), far)


def sample_nearest(values: Tensor, coordinates: Sequence[Tensor]) -> Tensor:
    """Values (B, C, *S) of the voxels nearest to the coordinates (B, voxels) of each axis, 0 outside; any dtype."""
    for axis, along in enumerate(coordinates, start=2):
        nearest, length = along.round(), values.shape[axis]
        shape = [len(along), *[-1 if each == axis else 1 for each in range(1, values.ndim)]]
        inside, voxels = (nearest >= 0) & (nearest < length), nearest.clamp(0, length - 1).long()
        if values.device.type == "cpu" and axis < values.ndim - 1:  # whole rows are copied faster than values gathered
            values = torch.cat([values[row : row + 1].index_select(axis, each) for row, each in enumerate(voxels)])
        else:
            whole = [*values.shape[:axis], -1, *values.shape[axis + 1 :]]
            values = values.gather(axis, voxels.reshape(shape).expand(whole))  # take_along_dim would copy the index
        if values.device.type != "cpu" or not inside.all():  # which a device would have to be waited for
            values = values.where(inside.reshape(shape), 0)
    return values
