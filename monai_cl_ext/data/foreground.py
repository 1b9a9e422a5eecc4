# SPDX-License-Identifier: Apache-2.0
"""Voxels of the foreground, round which patches are cut."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

VOXELS_PER_CLASS = 2000


def some_voxels(label: Tensor) -> Tensor:
    """Voxels of each foreground class of a label, at most 2000 of each, drawn evenly and always alike.

    Args:
        label: uint8 (slices, 1, H, W).

    Returns:
        int32 (voxels, 4): class, slice, row and column.
    """
    values = label.numpy()[:, 0]
    generator = np.random.default_rng(0)
    found = [np.empty((0, 4), np.int32)]
    for number in np.flatnonzero(np.bincount(values.ravel(), minlength=1)[1:]) + 1:
        places = np.flatnonzero(values == number)
        if len(places) > VOXELS_PER_CLASS:
            places = np.sort(generator.choice(places, VOXELS_PER_CLASS, replace=False))
        coordinates = np.unravel_index(places, values.shape)
        found.append(np.stack([np.full(len(places), number), *coordinates], axis=1).astype(np.int32))
    return torch.from_numpy(np.concatenate(found))
