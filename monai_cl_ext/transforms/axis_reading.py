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

    Each axis is a product with matrices that hold two weights a row: a matrix product is faster by far than collecting
    the eight neighbours of each voxel.

    Args:
        values: float32 or float64.
        places: of :func:`axis_places`, on the device of the values.
        padding: outside there is the nearest value ("border") or 0 ("zeros").
    """
    for axis, place in enumerate(places, start=2):
        length = values.shape[axis]
        inside = place.clamp(0, length - 1) if padding == "border" else place
        voxels = torch.arange(length, device=place.device, dtype=place.dtype)
        weights = (1 - (inside[:, :, None] - voxels).abs()).clamp(min=0)
        if axis == values.ndim - 1:
            values = (values.flatten(1, -2) @ weights.mT).unflatten(1, values.shape[1:-1])
        else:
            rows = values.flatten(axis + 1).flatten(1, axis - 1)
            values = (weights[:, None] @ rows).reshape(*values.shape[:axis], -1, *values.shape[axis + 1 :])
    return values


def read_nearest(values: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Values (B, C, *S) of the nearest voxel at the places (B, voxels) of each axis, 0 outside; of any dtype."""
    for axis, place in enumerate(places, start=2):
        nearest, length = place.round(), values.shape[axis]
        shape = [len(place), *[-1 if each == axis else 1 for each in range(1, values.ndim)]]
        inside = ((nearest >= 0) & (nearest < length)).reshape(shape)
        voxels = nearest.clamp(0, length - 1).long().reshape(shape)
        values = values.take_along_dim(voxels, axis).where(inside, 0)
    return values
