# SPDX-License-Identifier: Apache-2.0
"""Refuses images of a size that a network cannot take."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from monai_cl_ext.arguments import per_axis, positive_integer
from monai_cl_ext.networks.stages.base import first_convolution

MULTIPLES = (2, 4, 8, 16, 32, 64)


@torch.no_grad()
def check_image_size(network: nn.Module, image_size: int | Sequence[int], spatial_dims: int) -> None:
    """Refuses a size of images at which a network fails, where it takes larger ones; computes shapes alone.

    A network that halves images needs sides that can be halved as often: MONAI's SwinUNETR five times.

    Args:
        network: from images (B, C, *S), with convolutions.
        image_size: spatial size of the images, one number or one for each axis.
        spatial_dims: number of axes.

    Raises:
        ValueError: names the next larger size that the network takes.
    """
    size = list(per_axis("image_size", image_size, spatial_dims, positive_integer))
    shadow = copy.deepcopy(network).to("meta").eval()
    if _takes(shadow, size):
        return
    for multiple in MULTIPLES:
        larger = [-(-side // multiple) * multiple for side in size]
        if larger != size and _takes(shadow, larger):
            raise ValueError(
                f"image_size: {type(network).__name__} takes no images of {size}; the next larger size that it takes "
                f"is {larger}"
            )


def _takes(shadow: nn.Module, size: Sequence[int]) -> bool:
    try:
        shadow(torch.empty(1, first_convolution(shadow).in_channels, *size, device="meta"))
    except Exception:  # of whichever layer cannot go on
        return False
    return True
