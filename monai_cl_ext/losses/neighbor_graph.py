# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbor graph of rows, and its connected components."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.distributed import RowGather
from monai_cl_ext.losses.kernel import tile_size
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import joined

# Cosines in float64 that differ by less are ties: the order of a sum must not distinguish equal rows.
TIE = 1e-12


@plain_tensors
def nearest_neighbor_components(x: Tensor, *, tile: int | None = None) -> Tensor:
    """Connected components of the graph in which each row is linked to its nearest neighbor.

    Similarity is the cosine, computed in float64; a row is not its own neighbor, the first of equally similar rows
    wins, and links are undirected. Two rows or more thus make components of at least two. The computation stays on the
    device of ``x``, in a number of steps that depends on N alone, without a matrix of all pairs and without gradient.
    (Zheng et al., "Weakly supervised contrastive learning", ICCV 2021; Zeng et al., SuperCL, 2026, eqs. 7 and 8.)

    Args:
        x: rows (N, D), of any scale.
        tile: rows at a time; by default as many as suit the device.

    Returns:
        Labels (N,), int64: rows have equal labels where they are in one component; the numbers are arbitrary.

    Raises:
        ValueError: when x is not (N, D).
    """
    if x.ndim != 2:
        raise ValueError(f"x must be rows (N, D), found {tuple(x.shape)}")
    return _components(_nearest_neighbors(x.detach(), tile))


def shared_components(*views: Tensor) -> Tensor:
    """Labels of this process's rows in one graph over the rows of all views of all processes.

    Args:
        views: rows of each view, (B, D) all of them; B may differ between processes.

    Returns:
        Labels (views * B,), view by view, comparable over all processes.
    """
    gather = RowGather(len(views[0]), views[0].device)
    # view by view over all processes, so that ties fall as in one process
    labels = nearest_neighbor_components(joined(*(gather(view.detach()) for view in views)))
    return labels.view(len(views), sum(gather.counts))[:, gather.own.start : gather.own.stop].flatten()


def _nearest_neighbors(x: Tensor, tile: int | None) -> Tensor:
    """The index of each row's nearest neighbor, (N,); a single row is its own."""
    rows = F.normalize(x.double(), dim=-1)
    count = len(rows)
    tile = tile or tile_size(x.device, count)
    nearest = torch.empty(count, dtype=torch.int64, device=x.device)
    for start in range(0, count, tile):
        similarity = rows[start : start + tile] @ rows.mT
        similarity.diagonal(start).fill_(-2)  # below every cosine
        ties = similarity >= similarity.amax(-1, keepdim=True) - TIE
        nearest[start : start + tile] = ties.byte().argmax(-1)
    return nearest


def _components(successor: Tensor) -> Tensor:
    """Components of a graph in which each node has one link, to its ``successor``; each is named by its least node.

    Following the links from any node reaches the component's one cycle in fewer than N steps. Each round doubles the
    number of steps (pointer jumping) and keeps the least node on the way.
    """
    reached, least = successor, successor
    for _ in range(len(successor).bit_length()):
        least = torch.minimum(least, least[reached])
        reached = reached[reached]
    return least[reached]
