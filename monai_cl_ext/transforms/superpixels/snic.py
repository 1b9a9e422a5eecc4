# SPDX-License-Identifier: Apache-2.0
"""SNIC superpixels in plain Python."""

from __future__ import annotations

import heapq
import math
from operator import add

import numpy as np
import torch
from torch import Tensor

from .registry import backend, channel_last, features_of
from .slic import grid_cells, grid_step

FREE = -1
FRAME = 0


@backend("snic", volumes=True)
def snic(_: None, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Superpixels and polygons using simple non-iterative clustering (Achanta and Süsstrunk, CVPR 2017).

    Segments grow from the centers of a grid. Of all pixels beside a segment the one that is nearest to that segment's
    mean, in color and location as in ``batched_slic``, joins it, and the mean moves; distances are those to the mean
    when the pixel was met. So segments are connected by construction, there are as many as cells of the grid, and none
    is merged for being small. In a tie the first pixel joins, and the segment with the lower number.
    """
    size = tuple(image.shape[1:])
    cells = grid_cells(size, n_segments)
    location = np.moveaxis(np.indices(size), 0, -1) * (compactness / grid_step(size, cells))
    points = np.concatenate([channel_last(features_of(image)), location], axis=-1)
    framed = np.pad(np.full(size, FREE), 1, constant_values=FRAME)
    centers = [
        (2 * np.arange(count) + 1) * extent // (2 * count) + 1 for extent, count in zip(size, cells, strict=True)
    ]
    strides = [stride // framed.itemsize for stride in framed.strides]
    labels = _grown(
        framed.ravel().tolist(),
        np.pad(points, [*[(1, 1)] * len(size), (0, 0)]).reshape(framed.size, -1).tolist(),
        np.ravel_multi_index(np.ix_(*centers), framed.shape).ravel().tolist(),
        [*strides, *[-stride for stride in strides]],
    )
    inside = (slice(1, -1),) * len(size)
    return torch.tensor(labels).view(framed.shape)[inside].contiguous()


def _grown(labels: list[int], points: list[list[float]], seeds: list[int], steps: list[int]) -> list[int]:
    """The labels, with each free pixel in the segment of one of the seeds.

    Flat lists without checks of edges, and ``math.dist``, make this several times faster than arrays of NumPy.

    Args:
        labels: of the pixels of a flat map with a frame around it: FREE, or FRAME.
        points: color and location of the pixels.
        seeds: the first pixel of each segment.
        steps: from a pixel to its neighbors.
    """
    sums = [[0.0] * len(points[0]) for _ in seeds]
    sizes = [0] * len(seeds)
    queue = [(0.0, pixel, segment) for segment, pixel in enumerate(seeds)]
    heapq.heapify(queue)
    pop, push, distance = heapq.heappop, heapq.heappush, math.dist
    while queue:
        _, pixel, segment = pop(queue)
        if labels[pixel] != FREE:
            continue
        labels[pixel] = segment
        size = sizes[segment] = sizes[segment] + 1
        total = sums[segment] = list(map(add, sums[segment], points[pixel]))
        mean = [value / size for value in total]
        for step in steps:
            near = pixel + step
            if labels[near] == FREE:
                push(queue, (distance(points[near], mean), near, segment))
    return labels
