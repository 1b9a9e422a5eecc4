# SPDX-License-Identifier: Apache-2.0
"""SLIC superpixels of a whole batch, on its device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_integer, positive_number

from ..plain import plain
from .connectivity import enforce_connectivity
from .lab import STEPS, lab_features

# Pixels processed at a time: on the CPU their state stays in the cache, on a GPU within a few gigabytes.
PIXELS = {"cpu": 2**16, "cuda": 2**24}


@torch.no_grad()
def batched_slic(images: Tensor, n_segments: int = 100, compactness: float = 10.0, iterations: int = 10) -> Tensor:
    """SLIC superpixels of a batch of images, or supervoxels of volumes, without host synchronization.

    Achanta et al., SLIC superpixels compared to state-of-the-art superpixel methods (TPAMI 2012): k-means over color
    and location with the distance sqrt(d_lab^2 + (compactness * d_location / step)^2). A pixel chooses among the
    centers that started in its own grid cell and the cells around it (Ren, Prisacariu and Reid, gSLICr, 2015).
    Then segments are made connected; those under a quarter of a cell join a neighbor. Sums are over integers, so that
    the result depends neither on the run nor on the other images of the batch.

    Args:
        images: (B, C, *S), S of two or three axes, any real dtype, on any device. Colors are compared in Lab:
            see ``lab_features``. An image with a value that is not finite gives a meaningless map.
        n_segments: approximate number of segments of each map.
        compactness: weight of location against color, in units of lightness 0 ... 100.
        iterations: rounds of k-means.

    Returns:
        (B, *S) int32; the labels of each map are 0 ... K-1, each connected through faces.

    Raises:
        ValueError: when an argument is out of range or the images have another number of axes.
    """
    images = plain(images)
    positive_integer("n_segments", n_segments)
    positive_number("compactness", compactness)
    positive_integer("iterations", iterations)
    if images.ndim not in (4, 5) or images.numel() == 0:
        raise ValueError(f"images must be (B, C, H, W) or (B, C, H, W, D) and not empty, found {tuple(images.shape)}")
    at_once = max(1, PIXELS.get(images.device.type, 2**24) // math.prod(images.shape[2:]))
    return torch.cat([_slic(some, n_segments, compactness, iterations) for some in images.split(at_once)])


def _slic(images: Tensor, n_segments: int, compactness: float, iterations: int) -> Tensor:
    size = tuple(images.shape[2:])
    cells = grid_cells(size, n_segments)
    features = lab_features(images)
    labels = _cluster(features.flatten(2), size, cells, compactness, iterations)
    smallest = math.prod(size) // (4 * math.prod(cells))
    return enforce_connectivity(labels.view(len(images), *size), features, smallest)


def grid_cells(size: Sequence[int], n_segments: int) -> tuple[int, ...]:
    """Number of grid cells along each axis: about ``n_segments`` nearly cubic cells.

    An axis shorter than the cells' side gets one cell, and the segments are shared by the others.
    """
    cells = dict.fromkeys(range(len(size)), 1)
    long = sorted(cells, key=lambda axis: size[axis])
    while long:
        side = max(1.0, (math.prod(size[axis] for axis in long) / n_segments) ** (1 / len(long)))
        if size[long[0]] >= side:
            cells.update({axis: round(size[axis] / side) for axis in long})
            break
        long.pop(0)
    return tuple(cells[axis] for axis in range(len(size)))


def grid_step(size: Sequence[int], cells: Sequence[int]) -> float:
    """Longest side of a grid cell, by which locations are divided."""
    return max(extent / count for extent, count in zip(size, cells, strict=True))


def _cluster(
    features: Tensor, size: Sequence[int], cells: Sequence[int], compactness: float, iterations: int
) -> Tensor:
    """The iterations of k-means: the center (B, P) of each pixel of the features (B, F, P)."""
    batch, channels, pixels = features.shape
    candidates, coordinates = _grid(size, cells, features.device)
    whole = torch.cat(
        [(features * STEPS).round().long(), coordinates.expand(batch, -1, -1), coordinates.new_ones(batch, 1, pixels)],
        dim=1,
    )
    weights = [1 / (STEPS * compactness)] * channels + [1 / grid_step(size, cells)] * len(size)
    scale = torch.stack([torch.full((1,), weight, dtype=torch.float64, device=features.device) for weight in weights])
    points = (whole[:, :-1] * scale).float()
    labels = candidates[0].expand(batch, -1)
    centers = torch.zeros(batch, channels + len(size), math.prod(cells), device=features.device)
    for _ in range(iterations):
        sums = whole.new_zeros(batch, whole.shape[1], math.prod(cells))
        sums.scatter_add_(2, labels[:, None].expand(-1, whole.shape[1], -1), whole)
        means = (sums[:, :-1] / sums[:, -1:].clamp_min(1) * scale).float()
        centers = torch.where(sums[:, -1:] > 0, means, centers)
        labels = _nearest(points, centers, candidates)
    return labels


def _nearest(points: Tensor, centers: Tensor, candidates: Tensor) -> Tensor:
    """The nearest center (B, P) among the candidates of each pixel; the first one in a tie."""
    batch, features, pixels = points.shape
    smallest = torch.full_like(points[:, 0], torch.inf)
    choice = torch.zeros(batch, pixels, dtype=torch.uint8, device=points.device)
    for number, candidate in enumerate(candidates):
        difference = centers.gather(2, candidate.expand(batch, features, -1)).sub_(points)
        distance = difference.mul_(difference)[:, 0]
        for feature in range(1, features):  # one by one: the same sum in a batch of any size
            distance += difference[:, feature]
        choice = torch.maximum(choice, (distance < smallest).byte() * number)  # many times faster than where on a CPU
        smallest = torch.minimum(smallest, distance)
    return candidates.gather(0, choice.long())


def _grid(size: Sequence[int], cells: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """The candidate cells (3^D, P) of each pixel, its own cell first, and the pixel coordinates (D, P)."""
    axes = [torch.arange(extent, device=device) for extent in size]
    coordinates = torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")])
    own = [along * count // extent for along, count, extent in zip(coordinates, cells, size, strict=True)]
    candidates = []
    for offset in sorted(
        itertools.product((-1, 0, 1), repeat=len(size)), key=lambda offset: offset != (0,) * len(size)
    ):
        index = torch.zeros_like(coordinates[0])
        for cell, shift, count in zip(own, offset, cells, strict=True):
            index = index * count + (cell + shift).clamp(0, count - 1)  # beyond the edge: a cell that occurs twice
        candidates.append(index)
    return torch.stack(candidates), coordinates
