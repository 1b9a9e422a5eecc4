# SPDX-License-Identifier: Apache-2.0
"""Reading a volume along one axis after the other, which is all that crops, resizing and mirrors need."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def axis_places(theta: Tensor, size: Sequence[int], output_size: Sequence[int]) -> list[Tensor] | None:
    """Where each voxel of the output lies along each axis of the input, in voxels; None where an axis turns.

    Args:
        theta: matrices (B, d, d + 1) in the coordinates of ``torch.nn.functional.grid_sample``.
        size: spatial size of the input.
        output_size: spatial size of the output.

    Returns:
        for each axis (B, voxels of the output).
    """
    dims = len(size)
    linear = theta[:, :, :dims]
    if (linear != torch.diag_embed(linear.diagonal(dim1=1, dim2=2))).any():
        return None
    places = []
    for axis, (length, output_length) in enumerate(zip(size, output_size, strict=True)):
        row = dims - 1 - axis  # the last array axis comes first
        last = 1 - 1 / output_length  # the centre of the outermost voxel
        centres = torch.linspace(-last, last, output_length, dtype=theta.dtype)
        place = theta[:, row, row, None] * centres + theta[:, row, dims, None]
        places.append((place + 1) * length / 2 - 0.5)
    return places


def read_linear(values: Tensor, places: Sequence[Tensor], padding: str) -> Tensor:
    """Values (B, C, *S) read linearly at the places (B, voxels) of each axis.

    One axis after the other is far faster than collecting the eight neighbours of each voxel.

    Args:
        values: float32 or float64.
        places: of :func:`axis_places`, on the device of the values.
        padding: outside there is the nearest value ("border") or 0 ("zeros").
    """
    for axis, place in enumerate(places, start=2):
        inside = place.clamp(0, values.shape[axis] - 1) if padding == "border" else place
        rows = values.device.type == "cpu" and axis < values.ndim - 1
        values = (_mixed if rows else _multiplied)(values, inside, axis)
    return values


def _multiplied(values: Tensor, place: Tensor, axis: int) -> Tensor:
    """An axis as a product with matrices that hold two weights a row."""
    voxels = torch.arange(values.shape[axis], device=place.device, dtype=place.dtype)
    weights = (1 - (place[:, :, None] - voxels).abs()).clamp(min=0)
    if axis == values.ndim - 1:
        return (values.flatten(1, -2) @ weights.mT).unflatten(1, values.shape[1:-1])
    rows = values.flatten(axis + 1).flatten(1, axis - 1)
    return (weights[:, None] @ rows).reshape(*values.shape[:axis], -1, *values.shape[axis + 1 :])


def _mixed(values: Tensor, place: Tensor, axis: int) -> Tensor:
    """An axis as the sum of two weighted copies, sample by sample: what follows the axis is copied in one piece."""
    low, last = place.floor(), values.shape[axis] - 1
    shape = [-1 if each == axis else 1 for each in range(1, values.ndim)]
    read = values.new_empty(*values.shape[:axis], place.shape[1], *values.shape[axis + 1 :])
    for number, (sample, first, weight) in enumerate(zip(values, low, place - low, strict=True)):
        (one, its), (other, others) = (
            (voxel.clamp(0, last).long(), share.where((voxel >= 0) & (voxel <= last), 0).reshape(shape))
            for voxel, share in ((first, 1 - weight), (first + 1, weight))
        )
        mixed = sample.index_select(axis - 1, one).mul_(its)
        read[number] = mixed.addcmul_(sample.index_select(axis - 1, other), others)
    return read


def read_nearest(values: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Values (B, C, *S) of the nearest voxel at the places (B, voxels) of each axis, 0 outside; of any dtype."""
    for axis, place in enumerate(places, start=2):
        nearest, length = place.round(), values.shape[axis]
        shape = [len(place), *[-1 if each == axis else 1 for each in range(1, values.ndim)]]
        inside = ((nearest >= 0) & (nearest < length)).reshape(shape)
        voxels = nearest.clamp(0, length - 1).long().reshape(shape)
        values = values.take_along_dim(voxels, axis).where(inside, 0)
    return values
