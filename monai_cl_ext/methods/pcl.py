# SPDX-License-Identifier: Apache-2.0
"""PCL: two views of slices, contrasted by where the slices lie in their volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of
from monai_cl_ext.losses import PositionContrastiveLoss, SupervisedContrastiveLoss, pair_matrices, sample_tags
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags, View

POSITIVES = ("position", "partition", "view")


class PCL(InstanceContrast):
    """Positional contrastive learning (Zeng et al., "Positional contrastive learning", MICCAI 2021).

    The bottleneck's global average passes a two-layer head. The release can also contrast by partition, which it calls
    GCL and which is a supervised contrastive loss, or by view alone, which is SimCLR; here both are values of
    ``positives``.

    The release rounds its four partitions in a way of its own; here they are those of the dataset. A slice without a
    partition attracts its other view alone.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        positives: "position", slices nearer to each other than the threshold; "partition", slices of one partition;
            "view", the two views of a slice alone. The two views of a slice are positive in any case.
        threshold: distance under which slices are positive, a fraction of the volume's length.
        temperature: divides the cosine similarities.
        base_temperature: multiplies the loss by temperature / base_temperature; the release has 0.07, None leaves it.
        features: width of the embedding that is contrasted.
    """

    def __init__(
        self,
        network: nn.Module,
        positives: str = "position",
        threshold: float = 0.1,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        features: int = 512,
    ) -> None:
        super().__init__(network)
        self.positives = one_of("positives", positives, POSITIVES)
        self.head = mlp_head(self.encoder.channels[-1], features)
        self.position_loss = PositionContrastiveLoss(threshold, temperature, base_temperature)
        self.label_loss = SupervisedContrastiveLoss(temperature, base_temperature)

    def project(self, pooled: Tensor) -> tuple[Tensor, ...]:
        """The embedding of each row."""
        return (self.head(pooled),)

    def contrast(self, first: Sequence[Tensor], second: Sequence[Tensor], tags: Tags) -> Losses:
        """The loss between the embeddings of two views."""
        (z1,), (z2,) = first, second
        if self.positives == "position":
            return {"loss": self.position_loss(z1, z2, tags["position"])}
        return {"loss": self.label_loss(torch.cat([z1, z2]), self._labels(tags, len(z1)).repeat(2))}

    def pairs(self, views: Sequence[View], tags: Tags) -> tuple[Tensor, Tensor]:
        """The loss's own rule, written out; every row that is not positive repels."""
        samples = sample_tags(len(views[0]["image"]), tags["volume"].device)
        if self.positives == "position":
            rules = self.position_loss.rules(tags, samples, len(views))
        else:
            rules = self.label_loss.rules({"label": self._labels(tags, len(samples))}, samples, len(views))
        return pair_matrices(rules, len(views) * len(samples))

    def _labels(self, tags: Tags, count: int) -> Tensor:
        """Rows with one label attract, (B,)."""
        own = sample_tags(count, tags["volume"].device)
        if self.positives == "view":
            return own
        return torch.where(tags["partition"] < 0, -1 - own, tags["partition"])
