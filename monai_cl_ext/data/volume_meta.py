# SPDX-License-Identifier: Apache-2.0
"""Volumes with the meta data that MONAI's transforms and writers ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.data import MetaTensor
from torch import Tensor


def as_volume(values: Tensor, path: Any, affine: Tensor) -> MetaTensor:
    """A volume with the meta data by which MONAI resamples, inverts, names and saves it."""
    meta = {
        "filename_or_obj": str(path),
        "spatial_shape": np.array(values.shape[1:]),
        "original_affine": affine.double().numpy().copy(),
        "original_channel_dim": float("nan"),  # as of NIfTI without one; MONAI 1.6 saves no single slice otherwise
    }
    return MetaTensor(values, affine=affine.double(), meta=meta)
