# SPDX-License-Identifier: Apache-2.0
"""SimSiam: the prediction of each view is to be the projection of the other, which gets no gradient."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_cl_ext.losses import SimSiamLoss
from monai_cl_ext.methods.method import NetworkMethod, images_of
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags, View


class SimSiam(NetworkMethod):
    """Simple siamese representation learning (Chen and He, CVPR 2021): neither negatives nor a teacher.

    The bottleneck's global average passes a projection head of three layers, all with batch normalization, whose hidden
    layers are as wide as the bottleneck, as in the release; then a prediction head of two layers with a narrow hidden
    one.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        features: width of projections and predictions.
        hidden: width of the prediction head's hidden layer.

    Attributes:
        prediction_head: from projections (B, features) to predictions; any module of that form may replace it.
    """

    collapse_causes = "no prediction head, a gradient that passes the targets, or a learning rate that is too high"

    def __init__(self, network: nn.Module, features: int = 2048, hidden: int = 512) -> None:
        super().__init__(network)
        self.projection_head = mlp_head(
            self.stages.channels[-1], features, layers=3, batch_norm=True, bias=False, output_norm=True
        )
        self.prediction_head = mlp_head(features, features, hidden=hidden, batch_norm=True)
        self.loss: nn.Module = SimSiamLoss()

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of two views, from -1 to 1; tags are not read."""
        z1, z2, p1, p2 = self.branches(views)
        return {"loss": self.loss(p1, z2, p2, z1)}

    def branches(self, views: Sequence[View]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Projections of both views, then their predictions, (B, features) each."""
        z = self.project(self.embed(images_of(views)))
        return *z.chunk(2), *self.prediction_head(z).chunk(2)

    def project(self, embedding: Tensor) -> Tensor:
        """The projections of embeddings."""
        return self.projection_head(embedding)
