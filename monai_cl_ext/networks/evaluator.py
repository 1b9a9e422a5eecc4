# SPDX-License-Identifier: Apache-2.0
"""The evaluator of adversarial semi-supervised training: does a map belong to a labeled or to an unlabeled image?"""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Dropout, Pool
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer

MINIMUM_SIZE = 16  # pixels along an axis; four convolutions of stride 2 leave one of them
POOLED = 2  # positions along an axis that reach the verdict


class Evaluator(nn.Module):
    """The evaluation network of DAN (Zhang et al., MICCAI 2017) as SSL4MIS has it; in 3D near that of SASSNet (2020).

    Maps and image pass a 4x4 convolution each, of stride 2 to ``width`` channels, whose results are added. Three
    more of 2, 4 and 8 ``width`` channels follow, with LeakyReLU of slope 0.2 and, but after the last, channel
    dropout of 0.5. In 3D the sum passes both as well, in 2D neither. Their average over 2 parts along each axis,
    where SSL4MIS takes 256x256 alone, reaches a linear layer; SASSNet's release averages its one patch to a single
    position. There is no normalization: the verdict on an image is its own.

    Args:
        map_channels: of the maps that are judged: classes, or signed distances of the foreground classes.
        in_channels: of the images.
        spatial_dims: 2 or 3.
        width: channels of the first convolutions, 64 in the papers.
    """

    def __init__(self, map_channels: int, in_channels: int = 1, spatial_dims: int = 2, width: int = 64) -> None:
        super().__init__()
        dims, width = one_of("spatial_dims", spatial_dims, (2, 3)), positive_integer("width", width)
        convolution, dropout = Conv[Conv.CONV, dims], Dropout[Dropout.DROPOUT, dims]
        step = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.of_maps = convolution(positive_integer("map_channels", map_channels), width, **step)
        self.of_image = convolution(positive_integer("in_channels", in_channels), width, **step)
        self.layers = nn.Sequential()
        if dims == 3:
            self.layers.extend([nn.LeakyReLU(0.2), dropout(0.5)])
        for factor in (2, 4, 8):
            self.layers.extend([convolution(factor * width // 2, factor * width, **step), nn.LeakyReLU(0.2)])
            if factor < 8:
                self.layers.append(dropout(0.5))
        self.layers.extend([Pool[Pool.ADAPTIVEAVG, dims](POOLED), nn.Flatten()])
        self.verdict = nn.Linear(8 * width * POOLED**dims, 2)

    def forward(self, maps: Tensor, image: Tensor) -> Tensor:
        """Logits (B, 2) of "unlabeled", 0, and "labeled", 1.

        Args:
            maps: (B, map_channels, *S), probabilities or signed distances, of at least 16 voxels along each axis.
            image: (B, in_channels, *S), which they were predicted for.

        Raises:
            ValueError: when maps or image have other channels, are of different sizes, or too small.
        """
        channels, expected = (maps.shape[1], image.shape[1]), (self.of_maps.in_channels, self.of_image.in_channels)
        if channels != expected:
            raise ValueError(
                f"the evaluator was made for {expected[0]} maps and images of {expected[1]} channels, found "
                f"{channels[0]} and {channels[1]}: set its map_channels and in_channels"
            )
        if maps.shape[2:] != image.shape[2:]:
            raise ValueError(
                f"the evaluator takes maps and image of one size, found {tuple(maps.shape[2:])} and "
                f"{tuple(image.shape[2:])}: give the map of full size"
            )
        if min(image.shape[2:]) < MINIMUM_SIZE:
            raise ValueError(
                f"the evaluator takes images of at least {MINIMUM_SIZE} voxels along each axis, found "
                f"{tuple(image.shape[2:])}: raise image_size"
            )
        return self.verdict(self.layers(self.of_maps(maps) + self.of_image(image)))
