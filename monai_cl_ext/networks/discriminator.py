# SPDX-License-Identifier: Apache-2.0
"""Discriminators of adversarial training."""

from __future__ import annotations

from monai.networks.nets import PatchDiscriminator
from torch import nn

from monai_cl_ext.arguments import one_of, positive_integer


def patch_discriminator(channels: int = 1, spatial_dims: int = 2, width: int = 64) -> nn.Sequential:
    """MONAI's PatchGAN discriminator as DiRA has it (Haghighi et al., CVPR 2022): a verdict on each patch of an image.

    3x3 convolutions of ``width`` (stride 2, no norm), 2 and 4 ``width`` (stride 2) and 8 ``width`` channels (stride 1)
    with instance norm, LeakyReLU of slope 0.2, then one of a single channel; weights from N(0, 0.02). The result has no
    activation, as the least-squares loss wants it, and is the last of the maps that MONAI's network returns.

    Args:
        channels: of the images.
        spatial_dims: 2 or 3.
        width: channels of the first convolution, 64 in the paper.

    Returns:
        A module from images (B, channels, *S), of more than 8 voxels along one axis at least, to maps (B, 1, *S / 8),
        rounded up.
    """
    network = PatchDiscriminator(
        one_of("spatial_dims", spatial_dims, (2, 3)),
        positive_integer("width", width),
        positive_integer("channels", channels),
        kernel_size=3,
        norm="INSTANCE",
    )
    return nn.Sequential(*network.children())
