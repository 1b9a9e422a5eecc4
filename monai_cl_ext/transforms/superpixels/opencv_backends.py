# SPDX-License-Identifier: Apache-2.0
"""Superpixels by OpenCV's ximgproc, 2D only."""

from __future__ import annotations

import importlib
import math
from contextlib import ContextDecorator
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .registry import ITERATIONS, backend, channel_last, connected, features_of
from .slic import grid_cells, grid_step

opencv_backend = partial(backend, module="cv2.ximgproc", package="opencv-contrib-python-headless", extra="opencv")


FEWEST = 10  # segments that SEEDS asks for, whatever it is given
SMALLEST_BLOCK = 16  # pixels; with many smaller ones its constructor never returns


class OneThread(ContextDecorator):
    """OpenCV on a single thread as long as any of ours is within, since its sums over several are not reproducible.

    Its number of threads is one for the whole process.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.users = self.before = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.users == 0:
                opencv = importlib.import_module("cv2")
                self.before = opencv.getNumThreads()
                opencv.setNumThreads(1)
            self.users += 1

    def __exit__(self, *raised: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                importlib.import_module("cv2").setNumThreads(self.before)


one_thread = OneThread()


@opencv_backend("opencv_slic")
@one_thread
def opencv_slic(ximgproc: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SLIC."""
    features, side = features_of(image), cell_side(image.shape[1:], n_segments)
    return _clustered(ximgproc.createSuperpixelSLIC(channel_last(features), ximgproc.SLIC, side, compactness), features)


@opencv_backend("opencv_lsc")
@one_thread
def opencv_lsc(ximgproc: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Linear spectral clustering (Li and Chen, 2015).

    Its ratio weighs location against color on a scale where the whole range of lightness is 1: compactness / 100.
    """
    features, side = features_of(image), cell_side(image.shape[1:], n_segments)
    return _clustered(ximgproc.createSuperpixelLSC(_bytes(features), side, compactness / 100), features)


@opencv_backend("opencv_seeds")
@one_thread
def opencv_seeds(ximgproc: Any, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SEEDS (Van den Bergh et al., 2012), without compactness.

    Its segments start as blocks whose sides double from level to level, so it gives the nearest number that it can.
    """
    features = features_of(image)
    picture = _bytes(features)
    height, width, channels = picture.shape
    most = height * width // SMALLEST_BLOCK
    wanted = sorted({min(max(FEWEST, round(n_segments * factor / 8)), most) for factor in range(6, 17, 2)})
    made = [
        ximgproc.createSuperpixelSEEDS(width, height, channels, number, levels)
        for levels in (4, 3)
        for number in wanted
        if min(height, width) >= 2**levels and _has_blocks(height, width, number)
    ]
    candidates = [each for each in made if each.getNumberOfSuperpixels()]
    if not candidates:
        raise ValueError(
            "backend 'opencv_seeds' needs images of at least 8 x 8 pixels, and not much longer than wide, found "
            f"{height} x {width}: take another backend"
        )
    seeds = min(candidates, key=lambda each: abs(each.getNumberOfSuperpixels() - n_segments))
    seeds.iterate(picture, ITERATIONS)
    smallest = height * width // (4 * seeds.getNumberOfSuperpixels())
    return connected(seeds.getLabels(), features, smallest)


def cell_side(size: tuple[int, ...], n_segments: int) -> int:
    """Side of the square cells of about ``n_segments`` segments; OpenCV needs two of them along each axis."""
    return max(1, min(round(grid_step(size, grid_cells(size, n_segments))), min(size) // 2))


def _has_blocks(height: int, width: int, number: int) -> bool:
    """Whether SEEDS divides an image into at least one row and one column; where it has none, OpenCV crashes."""
    rows = int(math.sqrt(max(FEWEST, number) * height / width))
    return rows > 0 and rows * width // height > 0


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
