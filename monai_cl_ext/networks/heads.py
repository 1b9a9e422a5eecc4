# SPDX-License-Identifier: Apache-2.0
"""Heads between a network and a loss; they are thrown away after pre-training."""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer


def projection_head(in_features: int, features: int = 128, hidden: int | None = None) -> nn.Sequential:
    """Two-layer head Linear -> ReLU -> Linear, with biases (Chen et al. 2020, section 4.2).

    Args:
        in_features: width of the embeddings, for example ``stages(net).channels[-1]``.
        features: width of the result.
        hidden: width between the layers; ``in_features`` when None.

    Returns:
        A module from (B, in_features) to (B, features).
    """
    positive_integer("in_features", in_features)
    positive_integer("features", features)
    width = in_features if hidden is None else positive_integer("hidden", hidden)
    return nn.Sequential(nn.Linear(in_features, width), nn.ReLU(inplace=True), nn.Linear(width, features))


def wcl_head(in_features: int, features: int = 128, hidden: int | None = None) -> nn.Sequential:
    """WCL's three-layer head: Linear -> BN -> ReLU twice, then Linear, all with biases (Zheng et al. 2021, release).

    The release has 4096 and 256 for ``hidden`` and ``features`` on a ResNet-50. In training a batch needs two rows.

    Args:
        in_features: width of the embeddings, for example ``stages(net).channels[-1]``.
        features: width of the result.
        hidden: width between the layers; ``in_features`` when None.

    Returns:
        A module from (B, in_features) to (B, features).
    """
    positive_integer("in_features", in_features)
    positive_integer("features", features)
    width = in_features if hidden is None else positive_integer("hidden", hidden)
    layers: list[nn.Module] = []
    for before in (in_features, width):
        layers += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(width, features))


class FlatProjectionHead(nn.Module):
    """GCL's g1: the bottleneck map, flattened, -> Linear -> ReLU -> Linear, both without bias (Chaitanya et al. 2020).

    The weights start Glorot-uniform, as in the release. The head belongs to one image size.

    Args:
        in_features: channels times positions of the bottleneck map; 4608 at 192x192 for GCLUNet.
        features: width of the result.
        hidden: width between the layers.
    """

    def __init__(self, in_features: int, features: int = 128, hidden: int = 1024) -> None:
        super().__init__()
        self.first = nn.Linear(
            positive_integer("in_features", in_features), positive_integer("hidden", hidden), bias=False
        )
        self.activation = nn.ReLU(inplace=True)
        self.last = nn.Linear(hidden, positive_integer("features", features), bias=False)
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.xavier_uniform_(self.last.weight)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Projections (B, features) of the maps (B, C, *S).

        Raises:
            ValueError: when C times S is not ``in_features``.
        """
        flat = feature_map.flatten(1)
        if flat.shape[1] != self.first.in_features:
            raise ValueError(
                f"the head was built for {self.first.in_features} features, found a map of shape"
                f" {tuple(feature_map.shape[1:])}, {flat.shape[1]} features: build it for the size of these images"
            )
        return self.last(self.activation(self.first(flat)))


def map_projection_head(channels: int, spatial_dims: int = 2) -> nn.Sequential:
    """GCL's g2: two 1x1 convolutions at the decoder's width without bias, BN and ReLU between (Chaitanya et al. 2020).

    Weights start as N(0, sqrt(2 / fan-in)); batch normalisation is that of ``GCLUNet``.

    Args:
        channels: width of the decoder's map, for example ``stages(net).decoder_channels[blocks - 1]``.
        spatial_dims: 2 or 3.

    Returns:
        A module from maps (B, channels, *S) to maps of the same shape.
    """
    width = positive_integer("channels", channels)
    kind = Conv[Conv.CONV, one_of("spatial_dims", spatial_dims, (2, 3))]
    first, last = (kind(width, width, kernel_size=1, bias=False) for _ in range(2))
    for layer in (first, last):
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    norm = Norm[Norm.BATCH, spatial_dims](width, eps=1e-3, momentum=0.01)
    return nn.Sequential(first, norm, nn.ReLU(inplace=True), last)


def region_projection(channels: int, region_size: int, features: int = 128, spatial_dims: int = 2) -> nn.Linear:
    """The layer that all flattened regions share after g2, without bias, as released; starts Glorot-uniform.

    Args:
        channels: width of the map.
        region_size: K, side of a region in pixels.
        features: width of the result.
        spatial_dims: 2 or 3.

    Returns:
        A layer from (..., K * ... * K * channels) to (..., features).
    """
    pixels = positive_integer("region_size", region_size) ** one_of("spatial_dims", spatial_dims, (2, 3))
    width = pixels * positive_integer("channels", channels)
    layer = nn.Linear(width, positive_integer("features", features), bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
