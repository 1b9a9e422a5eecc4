# SPDX-License-Identifier: Apache-2.0
"""Superpixels by scikit-image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .lab import lab_features
from .registry import ITERATIONS, backend, connected, features_of, mean_size


@backend("skimage", module="skimage.segmentation", package="scikit-image", extra="superpixels", volumes=True)
def skimage_slic(segmentation: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """``skimage.segmentation.slic``: one channel as a gray RGB picture, three as RGB, others by ``lab_features``."""
    values, convert = image.cpu(), True
    if len(values) not in (1, 3):
        values, convert = lab_features(values[None])[0], False
        compactness = compactness * math.sqrt(len(values)) / 100  # slic rescales the features to [0, 1]
    channels = values.expand(max(3, len(values)), *values.shape[1:]) if convert else values
    picture = channels.movedim(0, -1).contiguous().numpy()
    labels = segmentation.slic(
        picture, n_segments, compactness, ITERATIONS, convert2lab=convert, start_label=0, channel_axis=-1
    )
    return torch.from_numpy(labels)


@backend("felzenszwalb", module="skimage.segmentation", package="scikit-image", extra="superpixels")
def felzenszwalb(segmentation: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Felzenszwalb and Huttenlocher's graph segmentation, 2D only and without compactness.

    Its scale is quartered, from half the mean size, as long as the number of segments approaches ``n_segments``. No
    segment is smaller than a quarter of the mean size.
    """
    features = features_of(image)
    picture = (features[0] / 100).movedim(0, -1).double().numpy()
    mean = mean_size(picture.shape[:2], n_segments)
    best, distance = torch.zeros(picture.shape[:2], dtype=torch.int32), math.inf
    for step in range(6):
        scale = mean / (2 * 4**step)
        labels = segmentation.felzenszwalb(picture, scale=scale, sigma=0, min_size=mean // 4, channel_axis=-1)
        found = connected(labels, features, mean // 4)
        missing = abs(int(found.max()) + 1 - n_segments)
        if missing > distance:
            break
        best, distance = found, missing
    return best
