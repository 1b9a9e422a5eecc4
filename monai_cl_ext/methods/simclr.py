# SPDX-License-Identifier: Apache-2.0
"""SimCLR: the two views of an image attract, the other images of the batch repel."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.losses import NTXentLoss
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags


class SimCLR(InstanceContrast):
    """A simple framework for contrastive learning (Chen et al., ICML 2020, equation 1).

    The bottleneck's global average passes a two-layer head.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        temperature: divides the cosine similarities.
        base_temperature: multiplies the loss by temperature / base_temperature; PCL's release has 0.07, None leaves it.
        features: width of the embedding that is contrasted.
    """

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        features: int = 128,
    ) -> None:
        super().__init__(network)
        self.head = mlp_head(self.stages.channels[-1], features)
        self.loss = NTXentLoss(temperature, base_temperature)

    def contrast(self, pooled: Tensor, tags: Tags) -> tuple[Losses, Tensor]:
        """The loss of equation 1; tags are not read."""
        z = self.head(pooled)
        return {"loss": self.loss(*z.chunk(2))}, z
