# SPDX-License-Identifier: Apache-2.0
"""Sharpened probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import at_least_float32


@plain_tensors
def sharpen(probabilities: Tensor, temperature: float = 0.1, renormalize: bool = False) -> Tensor:
    """Probabilities nearer to 0 and 1, with gradient.

    With p of a class and T the temperature, p^(1/T) / (p^(1/T) + (1 - p)^(1/T)), each class by itself (MC-Net, Wu et
    al. 2021). Renormalized, p^(1/T) over its sum over classes, so that the classes of a voxel sum to 1 (CauSSL).

    Args:
        probabilities: (B, C, *S).
        temperature: positive; 1 changes nothing.
        renormalize: which of the two.
    """
    exponent = 1 / positive_number("temperature", temperature)
    own = probabilities.to(at_least_float32(probabilities.dtype))
    # Both are ratios, which a common factor leaves alone, so that no power of a small number is left over no power.
    if renormalize:
        powers = (own / own.detach().amax(1, keepdim=True)) ** exponent
        return powers / powers.sum(1, keepdim=True)
    rest = 1 - own
    largest = torch.maximum(own, rest).detach()
    power = (own / largest) ** exponent
    return power / (power + (rest / largest) ** exponent)
