# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's ResNet, an encoder without decoder."""

from __future__ import annotations

from monai.networks.nets import ResNet
from torch import Tensor

from monai_cl_ext.networks.stages.base import Stages, width_of
from monai_cl_ext.networks.stages.registry import stages


class ResNetStages(Stages):
    """Stages of MONAI's ResNet, and of its ResNetFeatures and ResNetEncoder.

    The features are those of ResNetFeatures: the map of the first convolution, before pooling, and those of the four
    layers. There are no decoder blocks: ``decode`` and ``decoder_parameters`` raise ValueError.
    """

    def __init__(self, network: ResNet) -> None:
        layers = tuple(f"layer{number}" for number in (1, 2, 3, 4))
        super().__init__(
            network,
            encoder=("conv1", "bn1", *layers),
            blocks=(),
            output=None if network.fc is None else "fc",
            channels=[width_of(network.get_submodule(name)) for name in ("conv1", *layers)],
        )

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of the images (B, C, *S), from shallow to deep, the bottleneck last."""
        net = self.network
        x = net.act(net.bn1(net.conv1(x)))  # type: ignore[operator]
        features = [x]
        if not net.no_max_pool:
            x = net.maxpool(x)  # type: ignore[operator]
        for name in self.encoder_prefixes[2:]:
            x = net.get_submodule(name)(x)
            features.append(x)
        return features

    def output(self, decoded: Tensor) -> Tensor:
        """Class scores (B, classes) of the bottleneck, as the network gives them; its average (B, C) without them."""
        pooled = self.network.avgpool(decoded).flatten(1)  # type: ignore[operator]
        return pooled if self.output_prefix is None else self.network.get_submodule(self.output_prefix)(pooled)


stages.register(ResNet, ResNetStages)
