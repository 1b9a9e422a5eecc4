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
    """Refuses a volume with NaN or infinity, and warns of one whose intensities cannot be scaled.

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
    if is_sparse(image):
        warnings.warn(
            f"{file}: nearly all voxels have one intensity (the percentiles {LOWER} and {UPPER} coincide), so that "
            "intensities cannot be scaled and a prediction means nothing; check the file, or crop it to the body",
            stacklevel=2,
        )


def is_sparse(image: Tensor) -> bool:
    """Whether the 1st and the 99th percentile of a volume coincide, as in a constant one."""
    values = image.detach().cpu().numpy().ravel()
    sample = np.sort(values[(PLACES * values.size).astype(np.int64)])
    if (sample == sample[SAMPLE // 2]).mean() < SUSPICIOUS:
        return False
    low, high = np.percentile(values, [LOWER, UPPER])
    return bool(low == high)
