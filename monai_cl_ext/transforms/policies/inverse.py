# SPDX-License-Identifier: Apache-2.0
"""Resampling a view back onto the lattice of its input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operations.matrices import centering
from .device_copy import to_device
from .warp import Warp


def resample_back(view: Tensor, matrix: Tensor, size: Sequence[int], mode: str, padding_mode: str) -> Tensor:
    """A map in the frame of a view resampled by the inverse affine onto the lattice of the view's input.

    Args:
        view: (C, *V), floating point unless ``mode`` is "nearest".
        matrix: from voxel indices of the view to those of its input, ``ViewPolicy.voxel_matrix``, (d + 1, d + 1).
        size: spatial size of the input in voxels.
        mode: "bilinear", or "nearest" for label maps, which hold 0 outside the view.
        padding_mode: of "bilinear", what lies outside the view, as in ``ViewPolicy``.

    Returns:
        (C, *size) on the device of the view.
    """
    view_size = tuple(view.shape[1:])
    back = centering(view_size, view_size) @ matrix.double().cpu().inverse() @ centering(size, view_size).inverse()
    warp = Warp([], size, padding_mode)
    dtype = torch.float64 if view.dtype == torch.float64 else torch.float32
    (sampling,) = to_device([warp.prepare_matrices([back[None]], [], view_size)], view.device, dtype)
    name = "label" if mode == "nearest" else "image"
    return warp.apply({name: view[None]}, sampling)[name][0]
