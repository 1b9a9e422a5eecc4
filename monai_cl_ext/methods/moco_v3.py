# SPDX-License-Identifier: Apache-2.0
"""MoCo v3: predictions of each view attract the EMA teacher's key of the other and repel those of other images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from monai_cl_ext.losses import MoCoV3Loss
from monai_cl_ext.methods.method import images_of
from monai_cl_ext.methods.momentum import MomentumMethod
from monai_cl_ext.networks import mlp_head, stages
from monai_cl_ext.types import Losses, Tags, View


class MoCoV3(MomentumMethod):
    """Momentum contrast without a queue (Chen et al., "An empirical study of training self-supervised vision
    transformers", ICCV 2021, algorithm 1), with the heads that it gives a ResNet.

    The projection head has two layers without biases, each with batch normalization; the student's projections pass a
    prediction head likewise, whose last layer has none.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        temperature: divides the cosine similarities.
        momentum: of the teacher's parameters; the paper raises 0.99 to 1 by half a cosine.
        hidden: width of the heads' hidden layers.
        features: width of the embedding that is contrasted.
    """

    contrasts_batch = True

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 1.0,
        momentum: float = 0.99,
        hidden: int = 4096,
        features: int = 256,
    ) -> None:
        width = stages(network).channels[-1]
        projection = mlp_head(width, features, hidden=hidden, batch_norm=True, bias=False, output_norm=True)
        super().__init__(network, projection, momentum)
        self.prediction_head = mlp_head(features, features, hidden=hidden, batch_norm=True, bias=False)
        self.loss = MoCoV3Loss(temperature)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of two views; tags are not read."""
        images = images_of(views)
        q1, q2 = self.prediction_head(self.project(self.embed(images))).chunk(2)
        k1, k2 = self.teacher(images).chunk(2)
        return {"loss": self.loss(q1, k2, q2, k1)}
