# SPDX-License-Identifier: Apache-2.0
"""Looks at the intensities of a volume as it is loaded: not finite, or nearly all of one value."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

LOWER, UPPER = 1, 99  # percentiles that the bundles scale intensities by
SAMPLE = 256
PLACES = np.random.default_rng(0).random(SAMPLE)  # parts of a volume
SUSPICIOUS = 0.9  # a sample with less of one value cannot come from a volume with 98 % of it


def check_intensities(image: Tensor, file: Any) -> None:
    """Refuses a volume with NaN or infinity, and warns of one, or of channels, whose intensities cannot be scaled.

    Args:
        image: (C, *S), floating point.
        file: for messages.

    Raises:
        ValueError: when a voxel is not finite.
    """
    lowest, highest = (float(end) for end in torch.aminmax(image))
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        wrong = int((~torch.isfinite(image)).sum())
        raise ValueError(
            f"{file}: {wrong} voxel(s) are NaN or infinite; set them to the value of the background, or leave out "
            "the file"
        )
    sparse = sparse_channels(image)
    if len(sparse) == len(image):
        warnings.warn(
            f"{file}: nearly all voxels have one intensity (the percentiles {LOWER} and {UPPER} coincide), so that "
            "intensities cannot be scaled and a prediction means nothing; check the file, or crop it to the body",
            stacklevel=2,
        )
    elif sparse:
        constant = all(bool(image[channel].amin() == image[channel].amax()) for channel in sparse)
        told = "becomes 0 and tells nothing" if constant else "cannot be scaled by them and keeps its range"
        warnings.warn(
            f"{file}: in channel {', '.join(map(str, sparse))} of 0 to {len(image) - 1} nearly all voxels have one "
            f"intensity (the percentiles {LOWER} and {UPPER} coincide), so that it {told}; check the file, or leave "
            "out that channel from all",
            stacklevel=2,
        )


def is_sparse(image: Tensor) -> bool:
    """Whether no channel of a volume (C, *S) can be scaled."""
    return len(sparse_channels(image)) == len(image)


def sparse_channels(image: Tensor) -> list[int]:
    """The channels of a volume (C, *S) whose 1st and 99th percentiles coincide, as in a constant one."""
    return [number for number, channel in enumerate(image.detach().cpu()) if _coincide(channel)]


def _coincide(channel: Tensor) -> bool:
    values = channel.numpy().ravel()
    sample = np.sort(values[(PLACES * values.size).astype(np.int64)])
    if (sample == sample[SAMPLE // 2]).mean() < SUSPICIOUS:
        return False
    low, high = np.percentile(values, [LOWER, UPPER])
    return bool(low == high)
