# SPDX-License-Identifier: Apache-2.0
"""WCL: two views of an image attract, and so do images that nearest neighbours join in the other view."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_cl_ext.losses import NTXentLoss, WeakGraphContrastiveLoss, pair_matrices, sample_tags
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags, View


class WCL(InstanceContrast):
    """Weakly supervised contrastive learning (Zheng et al., "Weakly supervised contrastive learning", ICCV 2021).

    The bottleneck's global average passes two heads of three layers each. One carries NT-Xent, the other the loss under
    the weak labels of the nearest-neighbour graph; the losses are added.

    The release trains a ResNet with heads of 4,096 hidden units on batches of 4,096 with the LARS optimiser; width and
    optimiser for a U-Net are open, here the heads are as wide as the bottleneck and the optimiser is the bundle's.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        temperature: divides the cosine similarities.
        graph_weight: of the loss under weak labels.
        hidden: width of the heads' hidden layers; that of the bottleneck when None.
        features: width of the embeddings that are contrasted.
    """

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 0.1,
        graph_weight: float = 1.0,
        hidden: int | None = None,
        features: int = 128,
    ) -> None:
        super().__init__(network)
        width = self.encoder.channels[-1]
        self.head, self.graph_head = (
            mlp_head(width, features, hidden=hidden, layers=3, batch_norm=True) for _ in range(2)
        )
        self.graph_weight = graph_weight
        self.loss, self.graph_loss = NTXentLoss(temperature), WeakGraphContrastiveLoss(temperature)

    def project(self, pooled: Tensor) -> tuple[Tensor, ...]:
        """The embedding for NT-Xent, then that for the graph."""
        return self.head(pooled), self.graph_head(pooled)

    def contrast(self, first: Sequence[Tensor], second: Sequence[Tensor], tags: Tags) -> Losses:
        """The sum of both losses, and each; tags are not read."""
        view = self.loss(first[0], second[0])
        graph = self.graph_loss(first[1], second[1])
        return {"loss": view + self.graph_weight * graph, "view": view, "graph": graph}

    def pairs(self, views: Sequence[View], tags: Tags) -> tuple[Tensor, Tensor]:
        """Those of NT-Xent; the graph's change as the network learns."""
        samples = sample_tags(len(views[0]["image"]), views[0]["image"].device)
        return pair_matrices(self.loss.rules(tags, samples, len(views)), len(views) * len(samples))
