# SPDX-License-Identifier: Apache-2.0
"""Supervised contrast whose labels are the partitions of the volumes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.losses import SupervisedContrastiveLoss, sample_tags
from monai_cl_ext.losses.rules import Rules
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.methods.tags import tag_of
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags


class PartitionContrast(InstanceContrast):
    """Supervised contrast of slices, labeled by their partition (what PCL's release compares with as "GCL").

    The bottleneck's global average passes a two-layer head. A slice without a partition attracts its other view alone.

    Args:
        network, temperature, base_temperature, features: as in :class:`PCL`.
    """

    collapse_causes = (
        f"{InstanceContrast.collapse_causes}, or batches of one partition: of 3D patches, lower image_size or pixdim "
        "along the slice axis"
    )

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        features: int = 512,
    ) -> None:
        super().__init__(network)
        self.head = mlp_head(self.stages.channels[-1], features)
        self.loss = SupervisedContrastiveLoss(temperature, base_temperature)

    def contrast(self, pooled: Tensor, tags: Tags) -> tuple[Losses, Tensor]:
        """The loss over the partitions of the slices."""
        z = self.head(pooled)
        labels = partition_labels(tag_of(tags, "partition"), sample_tags(len(z) // 2, z.device))
        return {"loss": self.loss(z, labels.repeat(2))}, z

    def rules(self, tags: Tags, samples: Tensor, views: int) -> Rules:
        """Those of the loss under the labels."""
        return self.loss.rules({"label": partition_labels(tag_of(tags, "partition"), samples)}, samples, views)


def partition_labels(partition: Tensor, samples: Tensor) -> Tensor:
    """The partition of each slice (B,); a slice without one, -1, has a label of its own."""
    return torch.where(partition < 0, -1 - samples, partition.long())  # of whole numbers, which float32 would round
