# SPDX-License-Identifier: Apache-2.0
"""The largest connected component of each class of a batch of label maps, on their device."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.transforms.label_maps import checked_labels
from monai_cl_ext.transforms.superpixels.connectivity import connected_components


def keep_largest_components(labels: Tensor, num_classes: int) -> Tensor:
    """Label maps without what is not connected to the largest component of its class; that becomes background.

    As ``monai.transforms.KeepLargestConnectedComponent(connectivity=1, independent=True)`` of each map, for a whole
    batch and without waiting for a GPU. Voxels touch through a face. Of components of one size the first one stays,
    where MONAI's leaves open which.

    Args:
        labels: classes (B, 1, *S), integers from 0, the background, to ``num_classes`` - 1.
        num_classes: background included.

    Returns:
        (B, 1, *S) of the same dtype.

    Raises:
        ValueError: when the maps have another shape or, on the CPU, another class; on CUDA that is an assertion of the
            device, for which the host does not wait.
    """
    positive_integer("num_classes", num_classes)
    labels = checked_labels(labels, num_classes, "give the network's number of classes")
    root = connected_components(labels[:, 0]).flatten()
    size = torch.zeros_like(root).scatter_add_(0, root, torch.ones_like(root))[root]
    row = torch.arange(len(labels), device=labels.device).repeat_interleave(root.numel() // len(labels))
    group = row * num_classes + labels.flatten().long()
    rank = size * root.numel() + (root.numel() - 1 - root)  # by size, then by the first voxel
    largest = torch.zeros(len(labels) * num_classes, dtype=rank.dtype, device=rank.device)
    largest.scatter_reduce_(0, group, rank, "amax")
    return torch.where((largest[group] == rank).view(labels.shape), labels, torch.zeros_like(labels))
