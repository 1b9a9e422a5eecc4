# SPDX-License-Identifier: Apache-2.0
"""BYOL: the student predicts what an EMA teacher projects of the other view; no negatives."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from monai_cl_ext.losses import BYOLLoss
from monai_cl_ext.methods.method import images_of
from monai_cl_ext.methods.momentum import MomentumMethod
from monai_cl_ext.networks import mlp_head, stages
from monai_cl_ext.types import Losses, Tags, View


class BYOL(MomentumMethod):
    """Bootstrap your own latent (Grill et al., NeurIPS 2020).

    The bottleneck's global average passes a projection head and, in the student alone, a prediction head, both of two
    layers with batch normalization. The prediction of each view is to be the teacher's projection of the other one. The
    prediction head and the slow teacher are what keeps the embeddings from collapsing. The student's network is the
    result, as in the paper.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        hidden: width of the heads' hidden layers.
        features: width of projections and predictions.
        momentum: of the teacher's parameters; the paper raises it to 1 by half a cosine.

    Attributes:
        prediction_head: from projections (B, features) to predictions; any module of that form may replace it.
    """

    collapse_causes = (
        "no prediction head, a learning rate that is too high, or a teacher that follows too fast (momentum)"
    )

    def __init__(self, network: nn.Module, hidden: int = 4096, features: int = 256, momentum: float = 0.996) -> None:
        width = stages(network).channels[-1]
        super().__init__(network, mlp_head(width, features, hidden=hidden, batch_norm=True), momentum)
        self.prediction_head = mlp_head(features, features, hidden=hidden, batch_norm=True)
        self.loss = BYOLLoss()

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of two views, from 0 to 8; tags are not read."""
        images = images_of(views)
        p1, p2 = self.prediction_head(self.project(self.embed(images))).chunk(2)
        z1, z2 = self.teacher(images).chunk(2)
        return {"loss": self.loss(p1, z2, p2, z1)}
