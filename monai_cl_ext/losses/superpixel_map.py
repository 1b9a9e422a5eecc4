# SPDX-License-Identifier: Apache-2.0
"""The map of a feature's average over each superpixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.arguments import one_of
from monai_cl_ext.losses.checks import check_superpixels


def average_superpixel_map(features: Tensor, superpixels: Tensor, normalise: str = "map") -> Tensor:
    """Each pixel's value is the average of its superpixel over all channels (Zeng et al., SuperCL, 2026, eq. 6).

    Args:
        features: maps (B, C, *S), taken as they come.
        superpixels: the superpixel of each pixel, (B, *S); labels are compared for equality within an image.
        normalise: "map" divides a superpixel's sum by the number of pixels of the map, as the released code does, so
            that large superpixels weigh more; "superpixel" divides by its own number of pixels.

    Returns:
        The map (B, h*w), flattened row by row, in float32 at least; differentiable in the features.

    Raises:
        ValueError: when shapes do not fit, or ``normalise`` is another word.
    """
    one_of("normalise", normalise, ("map", "superpixel"))
    check_superpixels(features, superpixels)
    pixels = features.flatten(2).mean(1, dtype=torch.promote_types(features.dtype, torch.float32))
    segment = _without_gaps(superpixels.flatten(1))
    total = torch.zeros_like(pixels).scatter_add(1, segment, pixels).gather(1, segment)
    if normalise == "map":
        return total / pixels.shape[1]
    return total / torch.zeros_like(pixels).scatter_add(1, segment, torch.ones_like(pixels)).gather(1, segment)


def _without_gaps(labels: Tensor) -> Tensor:
    """Labels (B, n) of any values numbered 0, 1, ... in each row, so that they can serve as indices below n."""
    ordered, order = labels.sort(dim=1)
    number = F.pad((ordered[:, 1:] != ordered[:, :-1]).cumsum(1), (1, 0))
    return torch.empty_like(order).scatter_(1, order, number)
