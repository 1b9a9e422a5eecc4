# SPDX-License-Identifier: Apache-2.0
"""WCL: two views of an image attract, and so do images that nearest neighbors join in the other view."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.arguments import weight
from monai_cl_ext.losses import NTXentLoss, WeakGraphContrastiveLoss
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags


class WCL(InstanceContrast):
    """Weakly supervised contrastive learning (Zheng et al., "Weakly supervised contrastive learning", ICCV 2021).

    The bottleneck's global average passes two heads of three layers each. One carries NT-Xent, the other the loss under
    the weak labels of the nearest-neighbor graph; the losses are added.

    The release trains a ResNet with heads of 4,096 hidden units on batches of 4,096 with the LARS optimizer; width and
    optimizer for a U-Net are open, here the heads are as wide as the bottleneck and the optimizer is the bundle's.

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
        width = self.stages.channels[-1]
        self.head, self.graph_head = (
            mlp_head(width, features, hidden=hidden, layers=3, batch_norm=True) for _ in range(2)
        )
        self.graph_weight = weight("graph_weight", graph_weight)
        self.loss, self.graph_loss = NTXentLoss(temperature), WeakGraphContrastiveLoss(temperature)

    def contrast(self, pooled: Tensor, tags: Tags) -> tuple[Losses, Tensor]:
        """The sum of both losses, and each; the embeddings are the graph's. Tags are not read."""
        z, in_graph = self.head(pooled), self.graph_head(pooled)
        view, graph = self.loss(*z.chunk(2)), self.graph_loss(*in_graph.chunk(2))
        return {"loss": view + self.graph_weight * graph, "view": view, "graph": graph}, in_graph
