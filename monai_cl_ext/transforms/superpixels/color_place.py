# SPDX-License-Identifier: Apache-2.0
"""What the networks of superpixels see of an image: its color in Lab, and where its pixels lie."""

from __future__ import annotations

import torch
from torch import Tensor

from .lab import lab_features


def color_channels(images: Tensor) -> Tensor:
    """L, a and b of gray or colored images, in units of Lab; a and b of a gray one are 0.

    Args:
        images: (B, 1, H, W) or (B, 3, H, W) of any real dtype.

    Returns:
        (B, 3, H, W) float32.

    Raises:
        ValueError: when they have another number of channels.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"learned superpixels need images of 1 or 3 channels, found {tuple(images.shape[1:])}: take another backend"
        )
    features = lab_features(images)
    if images.shape[1] == 3:
        return features
    return torch.cat([features, torch.zeros_like(features), torch.zeros_like(features)], dim=1)


def color_and_place(color: Tensor) -> Tensor:
    """Color, row and column, each with mean 0 and standard deviation 1 in each image; what is constant becomes 0.

    Args:
        color: (B, 3, H, W).

    Returns:
        (B, 5, H, W), of the dtype of the colors.
    """
    rows, columns = (
        torch.linspace(-0.5, 0.5, size, dtype=color.dtype, device=color.device) for size in color.shape[2:]
    )
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    values = torch.cat([color, place.expand(len(color), -1, -1, -1)], dim=1)
    centered = values - values.mean((2, 3), keepdim=True)
    deviation = centered.square().mean((2, 3), keepdim=True).sqrt()
    return centered / torch.where(deviation > 1e-6, deviation, 1.0)
