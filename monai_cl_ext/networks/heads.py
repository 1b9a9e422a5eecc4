# SPDX-License-Identifier: Apache-2.0
"""Heads between a network and a loss, discarded after pre-training."""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer


def mlp_head(
    in_features: int,
    features: int = 128,
    *,
    hidden: int | None = None,
    layers: int = 2,
    batch_norm: bool = False,
    bias: bool = True,
    output_norm: bool = False,
) -> nn.Sequential:
    """Multilayer perceptron on embeddings: projection or prediction head of contrastive and siamese methods.

    Linear, batch normalization (optional) and ReLU for each hidden layer, then the last Linear. The default is SimCLR's
    head; WCL has ``layers=3, batch_norm=True``, BYOL and SwAV ``batch_norm=True``, the projector of SimSiam
    ``layers=3, batch_norm=True, bias=False, output_norm=True``. With normalization a training batch needs two rows.

    Args:
        in_features: width of the embeddings, for example ``stages(net).channels[-1]``.
        features: width of the result.
        hidden: width of the hidden layers; ``in_features`` when None.
        layers: number of Linear layers.
        batch_norm: normalize each hidden layer.
        bias: Linear layers have biases.
        output_norm: batch normalization without scale and shift after the last layer.

    Returns:
        A module from (B, in_features) to (B, features).
    """
    widths = [positive_integer("in_features", in_features)]
    width = in_features if hidden is None else positive_integer("hidden", hidden)
    widths += [width] * (positive_integer("layers", layers) - 1)
    head = nn.Sequential()
    for before, after in zip(widths, widths[1:], strict=False):
        head.append(nn.Linear(before, after, bias=bias))
        if batch_norm:
            head.append(nn.BatchNorm1d(after))
        head.append(nn.ReLU(inplace=True))
    head.append(nn.Linear(widths[-1], positive_integer("features", features), bias=bias))
    if output_norm:
        head.append(nn.BatchNorm1d(features, affine=False))
    return head


class FlatMLPHead(nn.Module):
    """Two-layer perceptron without bias on the flattened bottleneck map (GCL's g1, Chaitanya et al. 2020).

    Weights are initialized Glorot-uniform, as in the release. The head belongs to one image size.

    Args:
        in_features: channels times positions of the bottleneck map; 4608 at 192x192 for GCLUNet.
        features: width of the result.
        hidden: width between the layers.
    """

    def __init__(self, in_features: int, features: int = 128, hidden: int = 1024) -> None:
        super().__init__()
        self.in_features = in_features
        self.layers = mlp_head(in_features, features, hidden=hidden, bias=False)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Projections (B, features) of the maps (B, C, *S).

        Raises:
            ValueError: when C times S is not ``in_features``.
        """
        flat = feature_map.flatten(1)
        if flat.shape[1] != self.in_features:
            raise ValueError(
                f"the head was built for {self.in_features} features, found a map of shape"
                f" {tuple(feature_map.shape[1:])}, {flat.shape[1]} features: build it for the size of these images"
            )
        return self.layers(flat)


def pointwise_head(channels: int, spatial_dims: int = 2) -> nn.Sequential:
    """Two 1x1 convolutions of a map, with batch normalization and ReLU between (GCL's g2, Chaitanya et al. 2020).

    Weights are initialized as N(0, sqrt(2 / fan-in)), without bias; batch normalization is that of ``GCLUNet``.

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
    """Linear layer without bias on flattened regions of a map, shared by all of them; initialized Glorot-uniform.

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
