# SPDX-License-Identifier: Apache-2.0
"""Clustering loss of LNSNet: pixels are to lie nearer to the seed that they are near to already."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.pinned import pinned_copy
from monai_cl_ext.transforms.superpixels.lnsnet_backend import seed_index

SMALL = 1e-16  # that a probability has at least

PIXELS = 4096  # whose places are compared at once
TILE = 2**24  # similarities at a time: 64 MB in float32, which the system gets back as soon as they are freed


class SuperpixelClusterLoss(nn.Module):
    """Sharpens the assignment of pixels to seeds, as deep embedded clustering does (LNSNet; Zhu et al., CVPR 2021).

    q_ik is the Student-t similarity 1 / (1 + d_ik^2) of pixel i and seed k, whose features are d_ik apart, normalized
    over all seeds, and kept for the ``neighbors`` seeds nearest in place. p_ik is q_ik^2 / sum_i q_ik, normalized over
    these seeds. The loss is the mean over pixels of sum_k p log(p / q) + (1 - p) log((1 - p) / (1 - q)). Both p and q
    get a gradient.

    Args:
        neighbors: seeds nearest in place that a pixel may join; all where there are fewer.
    """

    def __init__(self, neighbors: int = 9) -> None:
        super().__init__()
        self.neighbors = positive_integer("neighbors", neighbors)

    def forward(self, features: Tensor, cells: Sequence[int]) -> Tensor:
        """The mean over the images.

        Args:
            features: (B, F, H, W).
            cells: of the grid along each axis; the seeds are their centers.
        """
        size = tuple(features.shape[2:])
        near = nearest_seeds(size, tuple(cells), self.neighbors, features.device)
        points = features.flatten(2).transpose(1, 2)
        seeds = points[:, pinned_copy(seed_index(size, cells), features.device)]
        pixels = max(1, TILE // seeds[..., 0].numel())
        q_of = similarities if pixels >= points.shape[1] else similarities_anew
        tiles = zip(points.split(pixels, dim=1), near.split(pixels), strict=True)
        q = torch.cat([q_of(tile, seeds, nearest) for tile, nearest in tiles], dim=1)
        index = near.flatten().expand(len(points), -1)
        shares = torch.zeros_like(seeds[:, :, 0]).scatter_add(1, index, q.flatten(1))
        target = q.square() / shares.gather(1, index).view_as(q)
        p = target / target.sum(2, keepdim=True)
        rest = (1 - p).clamp_min(SMALL)
        terms = p * (p.clamp_min(SMALL) / q).log() + rest * (rest / (1 - q).clamp_min(SMALL)).log()
        return terms.sum(2).mean()


def similarities(points: Tensor, seeds: Tensor, nearest: Tensor) -> Tensor:
    """q (B, N, neighbors) of features (B, N, F) and those of the seeds (B, K, F), for ``nearest`` (N, neighbors)."""
    squares = points.square().sum(2, keepdim=True) + seeds.square().sum(2)[:, None]
    distance = (squares - 2 * points @ seeds.transpose(1, 2)).clamp_min(0)
    similarity = 1 / (1 + distance)
    return similarity.gather(2, nearest.expand(len(points), -1, -1)) / similarity.sum(2, keepdim=True) + SMALL


def similarities_anew(points: Tensor, seeds: Tensor, nearest: Tensor) -> Tensor:
    """The same, computed once more for the gradient, so that no distance to a seed far away is kept."""
    return checkpoint(similarities, points, seeds, nearest, use_reentrant=False, preserve_rng_state=False)


@functools.lru_cache(maxsize=8)
def nearest_seeds(
    size: tuple[int, ...], cells: tuple[int, ...], count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The seeds nearest in place to each pixel, (H * W, count); of equally near ones the first.

    Args:
        size: of the image, (H, W).
        cells: of the grid along each axis.
        count: of seeds; all where there are fewer.
        device: where they are kept for the steps to come.
    """
    seeds = seed_index(size, cells)
    nearest = []
    for pixels in torch.arange(size[0] * size[1]).reshape(-1, 1).split(PIXELS):
        apart = (pixels // size[1] - seeds // size[1]) ** 2 + (pixels % size[1] - seeds % size[1]) ** 2
        of_equals_the_first = apart * len(seeds) + torch.arange(len(seeds))
        nearest.append(of_equals_the_first.topk(min(count, len(seeds)), largest=False).indices)
    return torch.cat(nearest).to(device)
