# SPDX-License-Identifier: Apache-2.0
"""PCL: slices that lie near each other in their volumes attract."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.losses import PositionContrastiveLoss
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.methods.tags import tag_of
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags


class PCL(InstanceContrast):
    """Positional contrastive learning (Zeng et al., "Positional contrastive learning", MICCAI 2021).

    The bottleneck's global average passes a two-layer head. Slices whose positions differ by less than the threshold
    are positive, whatever their volume; the two views of a slice always are. Patches of volumes have a position along
    each axis, and their Euclidean distance counts.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        threshold: distance under which slices are positive, a fraction of the volume's length. In 3D so small a share
            of all pairs lies within 0.1 that patches want more.
        temperature: divides the cosine similarities.
        base_temperature: multiplies the loss by temperature / base_temperature; the release has 0.07, None leaves it.
        features: width of the embedding that is contrasted.
    """

    def __init__(
        self,
        network: nn.Module,
        threshold: float = 0.1,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        features: int = 512,
    ) -> None:
        super().__init__(network)
        self.head = mlp_head(self.stages.channels[-1], features)
        self.loss = PositionContrastiveLoss(threshold, temperature, base_temperature)

    def contrast(self, pooled: Tensor, tags: Tags) -> tuple[Losses, Tensor]:
        """The loss over the positions of slices (B,) or patches (B, 3)."""
        z = self.head(pooled)
        return {"loss": self.loss(*z.chunk(2), tag_of(tags, "position"))}, z
