# SPDX-License-Identifier: Apache-2.0
"""Average superpixel map of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.arguments import one_of
from monai_cl_ext.losses.checks import check_superpixels
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import at_least_float32


@plain_tensors
def average_superpixel_map(features: Tensor, superpixels: Tensor, normalize: str = "map") -> Tensor:
    """Average superpixel map: each pixel gets the mean over its superpixel and all channels (SuperCL, 2026, eq. 6).

    Args:
        features: maps (B, C, *S), not normalized first.
        superpixels: the superpixel of each pixel, (B, *S); labels are compared for equality within an image.
        normalize: "map" divides a superpixel's sum by the number of pixels of the map, as the released code does, so
            that large superpixels weigh more; "superpixel" divides by its own number of pixels.

    Returns:
        The map (B, h*w), flattened in row-major order, in float32 at least; differentiable in the features.

    Raises:
        ValueError: when shapes do not fit, or ``normalize`` is another value.
    """
    one_of("normalize", normalize, ("map", "superpixel"))
    check_superpixels(features, superpixels)
    pixels = features.flatten(2).mean(1, dtype=at_least_float32(features.dtype))
    segment = _consecutive(superpixels.flatten(1))
    total = torch.zeros_like(pixels).scatter_add(1, segment, pixels).gather(1, segment)
    if normalize == "map":
        return total / pixels.shape[1]
    return total / torch.zeros_like(pixels).scatter_add(1, segment, torch.ones_like(pixels)).gather(1, segment)


def _consecutive(labels: Tensor) -> Tensor:
    """Labels (B, n) of any values, renumbered 0, 1, ... in each row so that they can serve as indices below n."""
    ordered, order = labels.sort(dim=1)
    number = F.pad((ordered[:, 1:] != ordered[:, :-1]).cumsum(1), (1, 0))
    return torch.empty_like(order).scatter_(1, order, number)
