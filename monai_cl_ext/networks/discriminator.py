# SPDX-License-Identifier: Apache-2.0
"""Discriminators of adversarial training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.networks.layers.factories import Conv, Norm, Pad
from monai.networks.nets import PatchDiscriminator
from torch import nn

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.networks.field_generator import initialize, start_size

WIDTHS, FEATURES = (16, 32, 64, 128, 128), 128


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


def image_discriminator(image_size: int | Sequence[int], channels: int = 1, spatial_dims: int = 2) -> nn.Sequential:
    """The discriminator of learned augmentation (Chaitanya et al., IPMI 2019; MedIA 2021): a verdict on an image.

    5x5 convolutions of stride 2, with bias, batch normalization and LeakyReLU of slope 0.2, then linear layers of 128,
    128 and 1 features. Images that are to be told from each other belong into one batch, whose statistics they share.

    Args:
        image_size: multiples of 32.
        channels: of the images.
        spatial_dims: 2 or 3.

    Returns:
        A module from images (B, channels, *image_size) to logits (B, 1) of their being real.
    """
    last = start_size(image_size, spatial_dims)
    network = nn.Sequential()
    for before, after in zip((positive_integer("channels", channels), *WIDTHS), WIDTHS, strict=False):
        # TensorFlow's SAME padding of stride 2 and even sides puts the extra row at the far end
        network.append(Pad[Pad.CONSTANTPAD, spatial_dims]((1, 2) * spatial_dims, 0.0))
        network.append(Conv[Conv.CONV, spatial_dims](before, after, kernel_size=5, stride=2))
        network.extend([Norm[Norm.BATCH, spatial_dims](after, eps=1e-3, momentum=0.01), nn.LeakyReLU(0.2)])
    network.append(nn.Flatten())
    for width in (math.prod(last) * WIDTHS[-1], FEATURES):
        network.extend([nn.Linear(width, FEATURES), nn.LeakyReLU(0.2)])
    network.append(nn.Linear(FEATURES, 1))
    return network.apply(initialize)
