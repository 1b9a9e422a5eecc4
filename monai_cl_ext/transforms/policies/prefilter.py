# SPDX-License-Identifier: Apache-2.0
"""Antialiasing: smoothing before an image is downsampled, each sample by its own factor."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

NEGLIGIBLE_SHRINK = 1.1
"""Up to this factor bilinear sampling alone is as good."""


def triangle_kernels(shrink: Tensor) -> list[Tensor | None]:
    """Triangle filters for each sample and axis, on the CPU.

    A triangle as wide as the downsampling factor s, sampled at voxels, has variance (s^2 - 1) / 6 for integer s; with
    the bilinear sampling that follows it is the filter that image libraries call antialiased bilinear.

    Args:
        shrink: voxels of the input per voxel of the output along each input axis, (B, d).

    Returns:
        for each axis the kernels (B, taps), or None where no sample of the batch shrinks.
    """
    kernels: list[Tensor | None] = []
    for factors in shrink.where(shrink > NEGLIGIBLE_SHRINK, 1.0).unbind(1):
        largest = float(factors.max())
        if largest == 1:
            kernels.append(None)
            continue
        radius = ceil(largest) - 1
        offsets = torch.arange(-radius, radius + 1, dtype=factors.dtype).abs()
        taps = (1 - offsets / factors[:, None]).clamp(min=0.0)
        kernels.append(taps / taps.sum(dim=1, keepdim=True))
    return kernels
