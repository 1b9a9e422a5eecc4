# SPDX-License-Identifier: Apache-2.0
"""Signed distance maps of the classes of a batch of label maps, on their device."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.transforms.label_maps import checked_labels

FAR = float("inf")


@torch.no_grad()
def signed_distance(labels: Tensor, num_classes: int) -> Tensor:
    """How far each voxel is from the boundary of each foreground class: positive outside, negative inside.

    Outside, the Euclidean distance in voxels to the class, inside that to all that is not of the class, each divided
    by its maximum in the map (SASSNet, Li et al. 2020; DTC, Luo et al. 2021). It is 0 on the inner boundary, the voxels
    of a class that have a face in common with another class or with the border of the array. A class that is absent
    has 0 everywhere; one that fills the array has no outside, and its depth is that below the border. Distances are
    exact, and no GPU waits for the host.

    Args:
        labels: classes (B, 1, *S), numbers from 0, the background, to ``num_classes`` - 1.
        num_classes: background included, 2 at least.

    Returns:
        (B, num_classes - 1, *S) float32 in [-1, 1].

    Raises:
        ValueError: when the maps have another shape or, on the CPU, another class; on CUDA that is an assertion of the
            device, for which the host does not wait.
    """
    if positive_integer("num_classes", num_classes) < 2:
        raise ValueError("num_classes must be 2 at least, background and one class of foreground, found 1")
    labels = checked_labels(
        labels, num_classes, "give the number of classes with the background, and rows that have labels"
    )
    classes = torch.arange(1, num_classes, device=labels.device).view(-1, *[1] * (labels.ndim - 2))
    foreground = labels == classes
    masks = torch.cat([~foreground.any(1, keepdim=True), foreground], dim=1)
    squared = squared_distances(masks)
    border = _squared_depth(labels)
    other = squared.masked_fill(masks, FAR).amin(1, keepdim=True)  # to the nearest voxel of another class
    other = torch.where(other == FAR, border, other)
    boundary = foreground & ((other == 1) | (border == 1))
    outside = _over_maximum(squared[:, 1:].masked_fill(squared[:, 1:] == FAR, 0).sqrt())
    inside = _over_maximum(torch.where(foreground, other, 0).sqrt())
    return outside - inside.masked_fill(boundary, 0)


def squared_distances(masks: Tensor) -> Tensor:
    """Squared Euclidean distance of each voxel to the nearest of its mask, in voxels; infinite for an empty mask.

    The lower envelope of parabolas of Felzenszwalb and Huttenlocher (2012), axis by axis, as a minimum over offsets:
    sums of whole numbers, exact in float32 for sides up to 2,000 voxels.

    Args:
        masks: boolean (B, K, *S).

    Returns:
        (B, K, *S) float32.
    """
    squared = torch.where(masks, 0.0, FAR)
    for axis in range(2, masks.ndim):
        nearest = squared.clone()
        for offset in range(1, masks.shape[axis]):
            length, farther = masks.shape[axis] - offset, squared + offset**2
            for here, there in ((0, offset), (offset, 0)):
                own = nearest.narrow(axis, here, length)
                torch.minimum(own, farther.narrow(axis, there, length), out=own)
        squared = nearest
    return squared


def _squared_depth(labels: Tensor) -> Tensor:
    """Squared distance of each place of the array to the nearest one beyond its border, (*S)."""
    axes = labels.shape[2:]
    sides = []
    for axis, size in enumerate(axes):
        place = torch.arange(1, size + 1, device=labels.device, dtype=torch.float32)
        shape = [-1 if other == axis else 1 for other in range(len(axes))]
        sides.append(torch.minimum(place, size + 1 - place).square().view(shape))
    return reduce(torch.minimum, sides)


def _over_maximum(distance: Tensor) -> Tensor:
    """Distances (B, K, *S) divided by the largest of each map; distances that are not 0 are 1 at least."""
    return distance / distance.amax(list(range(2, distance.ndim)), keepdim=True).clamp_min(1)
