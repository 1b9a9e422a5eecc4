# SPDX-License-Identifier: Apache-2.0
"""Colors in Lab, in whose units the compactness of superpixels is stated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEPS = 1024
"""Features are integer multiples of 1 / STEPS, so that their sums are exact in any order."""

# sRGB to CIE XYZ, and the white point D65 of the two-degree observer (IEC 61966-2-1)
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


def lab_features(images: Tensor) -> Tensor:
    """The color features of SLIC, in units of Lab: lightness is 0 to 100 in each image.

    - One channel: its lightness, as of a gray picture, after rescaling the image to [0, 1].
    - Three channels: red, green and blue; L, a and b after rescaling all three together to [0, 1].
    - Any other number: the lightness of each channel, divided by the square root of their number, so that
      equal channels have the distances of one.

    A constant image gives zeros.

    Args:
        images: (B, C, *S) of any real dtype.

    Returns:
        (B, F, *S) float32, integer multiples of 1 / 1024; F is 1, 3 or C.
    """
    values = images.double()
    axes = tuple(range(1 if images.shape[1] == 3 else 2, images.ndim))
    low, high = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
    values = (values - low) / torch.where(high > low, high - low, 1.0)
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    features = _lab(linear) if images.shape[1] == 3 else (116 * _root(linear) - 16) / math.sqrt(images.shape[1])
    return ((features * STEPS).round() / STEPS).float()


def _lab(linear: Tensor) -> Tensor:
    red, green, blue = linear.unbind(1)
    x, y, z = (
        _root((row[0] * red + row[1] * green + row[2] * blue) / white) for row, white in zip(_XYZ, _WHITE, strict=True)
    )
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _root(values: Tensor) -> Tensor:
    return torch.where(values > 0.008856, values.clamp_min(0.008856) ** (1 / 3), 7.787 * values + 16 / 116)
