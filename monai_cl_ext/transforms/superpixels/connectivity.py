# SPDX-License-Identifier: Apache-2.0
"""Connected segments of a batch of label maps, on their device and without host synchronization."""

from __future__ import annotations

import torch
from torch import Tensor

from .lab import STEPS

FAR = torch.iinfo(torch.int64).max
AFTER_LARGE = FAR // 2  # ranks small neighbors behind every large one


def connected_components(labels: Tensor) -> Tensor:
    """The connected components of equal labels; pixels touch through a face (4 neighbors in 2D, 6 in 3D).

    Runs along the last axis are joined at once; then each run hooks its root to the smallest root that it touches,
    and every path is halved (after Zhang, Azad and Hu, FastSV, 2020). The number of rounds is fixed, 2 + log2 of the
    pixels of a map, so that a GPU never waits; on the CPU the rounds end when nothing moves.

    Args:
        labels: (B, *S) of any integer dtype.

    Returns:
        (B, *S) int64: the index, in the flattened batch, of the first pixel of the component.
    """
    own = torch.arange(labels.numel(), device=labels.device).view(labels.shape)
    inside = torch.zeros_like(labels, dtype=torch.bool)
    inside[..., 1:] = labels[..., 1:] == labels[..., :-1]
    run = torch.where(inside, 0, own).cummax(-1).values
    alike = [
        (axis, labels.narrow(axis, 0, size - 1) == labels.narrow(axis, 1, size - 1))
        for axis, size in enumerate(labels.shape[1:-1], start=1)
    ]
    root = own.flatten().clone()
    for _ in range(2 + labels[0].numel().bit_length()):
        before = root.clone()
        parent = root[run]
        top = root[parent]
        for axis, same in alike:
            for near, far in ((0, 1), (1, 0)):
                at = parent.narrow(axis, near, same.shape[axis])
                value = torch.where(same, top.narrow(axis, far, same.shape[axis]), at)
                root.scatter_reduce_(0, at.flatten(), value.flatten(), "amin")
        root = root[root]
        if _on_host(root) and torch.equal(root, before):
            break
    return root[run]


def enforce_connectivity(labels: Tensor, features: Tensor, smallest: int) -> Tensor:
    """Makes each connected component a segment of its own, and merges those under ``smallest`` with a neighbor.

    A small component joins the adjacent large one with the nearest mean feature. Where it has small neighbors only, two
    that are each other's nearest join, and those that are nearest to the first of the two. Then sizes are counted
    again. The number of rounds grows with the logarithm of ``smallest``; what is still small then remains.

    Args:
        labels: (B, *S) integers.
        features: (B, F, *S) as ``lab_features`` gives them.
        smallest: smallest number of pixels of a segment.

    Returns:
        (B, *S) int32; the labels of each map are 0 ... K-1 in the order of their first pixels.
    """
    root = connected_components(labels)
    flat = root.flatten()
    whole = (features.movedim(1, 0) * STEPS).round().long().flatten(1)
    size = torch.zeros_like(flat).scatter_add_(0, flat, torch.ones_like(flat))
    sums = torch.stack([torch.zeros_like(flat).scatter_add_(0, flat, channel) for channel in whole])
    for _ in range(2 + 3 * smallest.bit_length() // 2):  # enough even for pure noise
        if _on_host(root) and not ((size > 0) & (size < smallest)).any():
            break
        parent = _merged(root, size, sums, smallest)
        root = parent[root]
        size = torch.zeros_like(size).scatter_add_(0, parent, size)
        sums = torch.stack([torch.zeros_like(channel).scatter_add_(0, parent, channel) for channel in sums])
    return _in_order(root)


def _on_host(values: Tensor) -> bool:
    """Whether reading values costs no synchronization, so that rounds which change nothing can be skipped."""
    return values.device.type == "cpu"


def _merged(root: Tensor, size: Tensor, sums: Tensor, smallest: int) -> Tensor:
    """The root that each root joins in one round: another one, or itself."""
    mean = (sums / size.clamp_min(1)).float()
    nearest = torch.full_like(size, FAR)
    for axis in range(1, root.ndim):
        length = root.shape[axis] - 1
        one, other = root.narrow(axis, 0, length).flatten(), root.narrow(axis, 1, length).flatten()
        distance = (mean[:, one] - mean[:, other]).square_().sum(0)
        key = (distance / STEPS).long() * len(size)  # thousands of units of Lab at most: far from overflow
        for near, far in ((one, other), (other, one)):
            wanted = (near != far) & (size[near] < smallest)
            later = (size[far] < smallest) * AFTER_LARGE
            nearest.scatter_reduce_(0, near, torch.where(wanted, key + far + later, FAR), "amin")
    own = torch.arange(len(size), device=size.device)
    target = torch.where(nearest == FAR, own, nearest % AFTER_LARGE % len(size))
    stays = (size >= smallest) | ((target[target] == own) & (own <= target))
    return torch.where(stays[target] & ~stays, target, own)


def _in_order(root: Tensor) -> Tensor:
    flat = root.flatten()
    own = torch.arange(len(flat), device=flat.device)
    first = torch.full_like(flat, FAR).scatter_reduce_(0, flat, own, "amin")[flat]
    rank = (first == own).view(len(root), -1).cumsum(1) - 1
    return rank.flatten()[first].view(root.shape).int()
