# SPDX-License-Identifier: Apache-2.0
"""Superpixels by OpenCV's ximgproc, 2D only."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .registry import ITERATIONS, backend, cell_side, channel_last, connected, features_of

opencv_backend = partial(backend, module="cv2.ximgproc", package="opencv-contrib-python-headless", extra="opencv")


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on a single thread, since its sums over several threads are not reproducible."""
    opencv = importlib.import_module("cv2")
    threads = opencv.getNumThreads()
    opencv.setNumThreads(1)
    try:
        yield
    finally:
        opencv.setNumThreads(threads)


@opencv_backend("opencv_slic")
@one_thread()
def opencv_slic(ximgproc: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SLIC."""
    features, side = features_of(image), cell_side(image.shape[1:], n_segments)
    return _clustered(ximgproc.createSuperpixelSLIC(channel_last(features), ximgproc.SLIC, side, compactness), features)


@opencv_backend("opencv_lsc")
@one_thread()
def opencv_lsc(ximgproc: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Linear spectral clustering (Li and Chen, 2015).

    Its ratio weighs location against color on a scale where the whole range of lightness is 1: compactness / 100.
    """
    features, side = features_of(image), cell_side(image.shape[1:], n_segments)
    return _clustered(ximgproc.createSuperpixelLSC(_bytes(features), side, compactness / 100), features)


@opencv_backend("opencv_seeds")
@one_thread()
def opencv_seeds(ximgproc: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SEEDS (Van den Bergh et al., 2012), without compactness.

    Its segments start as blocks whose sides double from level to level, so it gives the nearest number that it can.
    """
    features = features_of(image)
    picture = _bytes(features)
    height, width, channels = picture.shape
    wanted = sorted({max(1, round(n_segments * factor / 8)) for factor in range(6, 17, 2)})
    candidates = [
        ximgproc.createSuperpixelSEEDS(width, height, channels, number, levels)
        for levels in (4, 3)
        for number in wanted
        if min(height, width) >= 2**levels
    ]
    if not candidates:
        raise ValueError(f"backend 'opencv_seeds' needs images of at least 8 x 8 pixels, found {height} x {width}")
    seeds = min(candidates, key=lambda each: abs(each.getNumberOfSuperpixels() - n_segments))
    seeds.iterate(picture, ITERATIONS)
    smallest = height * width // (4 * seeds.getNumberOfSuperpixels())
    return connected(seeds.getLabels(), features, smallest)


def _bytes(features: Tensor) -> NDArray[np.uint8]:
    """Lightness as 0 ... 255, with a and b as OpenCV stores them: around 128."""
    picture = features[0].movedim(0, -1)
    if picture.shape[-1] == 3:
        picture = picture * picture.new_tensor([2.55, 1, 1]) + picture.new_tensor([0, 128, 128])
    else:
        picture = picture * (2.55 * math.sqrt(picture.shape[-1]))
    return picture.round().clamp(0, 255).byte().contiguous().numpy()


def _clustered(clusters: Any, features: Tensor) -> Tensor:
    clusters.iterate(ITERATIONS)
    mean = features[0, 0].numel() // max(1, clusters.getNumberOfSuperpixels())
    clusters.enforceLabelConnectivity(25)  # percent of the mean size
    return connected(clusters.getLabels(), features, mean // 4)
