# SPDX-License-Identifier: Apache-2.0
"""Where an image has edges."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


def edge_strength(lightness: Tensor) -> Tensor:
    """Magnitude of Sobel's gradient, divided by its maximum over the image; 0 where the image is constant.

    Args:
        lightness: (B, 1, H, W).

    Returns:
        (B, 1, H, W) from 0 to 1.
    """
    gradient = conv2d(pad(lightness, (1, 1, 1, 1), "replicate"), _sobel(lightness.dtype, lightness.device))
    magnitude = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    highest = magnitude.amax((1, 2, 3), keepdim=True)
    return magnitude / torch.where(highest > 0, highest, 1.0)


@functools.lru_cache(maxsize=8)
def _sobel(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Both kernels, (2, 1, 3, 3), kept on the device for the steps to come."""
    across = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=dtype)
    return torch.stack([across, across.T])[:, None].to(device)
