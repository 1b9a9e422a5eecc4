# SPDX-License-Identifier: Apache-2.0
"""GCL's first stage: slices at one place of the anatomy attract, across volumes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from monai_cl_ext.losses import PartitionContrastiveLoss, pair_matrices, sample_tags
from monai_cl_ext.methods.method import Method, trained_encoder
from monai_cl_ext.networks import FlatMLPHead
from monai_cl_ext.types import Losses, Tags, View


class GCLGlobal(Method):
    """Global contrast for volumes (Chaitanya et al. 2020, section 3.2, equations 1 and 2).

    The encoder's bottleneck is flattened and projected by g1, two dense layers without bias. The strategies differ in
    what is positive: ``"gr"`` the two views of a slice (two views, equation 1 over random slices), ``"gd-"`` the
    original and the two views of a slice with the other partitions as negatives, ``"gd"`` besides these the slices
    of one partition across volumes. The decoder is frozen: it takes no part.

    The paper leaves open how the views of a batch meet in batch normalisation; they pass together, as released.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        strategy: "gr", "gd-" or "gd".
        image_size: spatial size of the slices in pixels; fixes the width of g1's first layer.
        temperature: divides the cosine similarities.
        hidden: width of g1's hidden layer.
        features: width of the embedding that is contrasted.
    """

    def __init__(
        self,
        network: nn.Module,
        strategy: str = "gd",
        image_size: Sequence[int] = (192, 192),
        temperature: float = 0.1,
        hidden: int = 1024,
        features: int = 128,
    ) -> None:
        super().__init__()
        self.encoder = trained_encoder(network)
        positions = prod(self.encoder.bottleneck_size(image_size))
        self.head = FlatMLPHead(self.encoder.channels[-1] * positions, features, hidden)
        self.loss = PartitionContrastiveLoss(strategy, temperature)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of equation 2; views are (view 1, view 2) for "gr", (original, view 1, view 2) otherwise."""
        images = torch.cat([view["image"] for view in views])
        embeddings = self.head(self.encoder.encode(images)[-1]).chunk(len(views))
        return {"loss": self.loss(list(embeddings), tags["partition"], tags["volume"])}

    def pairs(self, views: Sequence[View], tags: Tags) -> tuple[Tensor, Tensor]:
        """The loss's own rules, written out for all rows."""
        samples = sample_tags(len(tags["partition"]), tags["partition"].device)
        return pair_matrices(self.loss.rules(tags, samples, len(views)), len(views) * len(samples))

    def embed(self, image: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1])."""
        return self.encoder.embed(image)
