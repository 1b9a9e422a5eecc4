# SPDX-License-Identifier: Apache-2.0
"""Superpixels by SimpleITK."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from .registry import ITERATIONS, backend, channel_last, connected, features_of
from .slic import grid_cells


@backend("simpleitk", module="SimpleITK", package="SimpleITK", extra="simpleitk", volumes=True)
def simpleitk_slic(simpleitk: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SLIC, 2D and 3D, on one thread, so that its sums are reproducible."""
    features = features_of(image)
    cells = grid_cells(image.shape[1:], n_segments)
    sides = [max(1, round(extent / count)) for extent, count in zip(image.shape[1:], cells, strict=True)]
    slic = simpleitk.SLICImageFilter()
    slic.SetNumberOfWorkUnits(1)
    slic.SetSuperGridSize(sides[::-1])
    slic.SetSpatialProximityWeight(float(compactness))
    slic.SetMaximumNumberOfIterations(ITERATIONS)
    slic.EnforceConnectivityOn()
    slic.InitializationPerturbationOff()
    segmented = slic.Execute(simpleitk.GetImageFromArray(channel_last(features), isVector=True))
    labels = simpleitk.GetArrayFromImage(segmented).astype(np.int64)
    return connected(labels, features, math.prod(sides) // 4)
