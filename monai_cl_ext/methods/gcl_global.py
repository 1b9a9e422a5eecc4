# SPDX-License-Identifier: Apache-2.0
"""Global contrastive pre-training of the encoder (GCL, stage 1)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from monai_cl_ext.losses import PartitionContrastiveLoss
from monai_cl_ext.losses.rules import Rules
from monai_cl_ext.methods.method import NetworkMethod, images_of
from monai_cl_ext.methods.tags import tag_of
from monai_cl_ext.networks import FlatMLPHead
from monai_cl_ext.types import Losses, Tags, View


class GCLGlobal(NetworkMethod):
    """Global contrast for volumes (Chaitanya et al. 2020, section 3.2, equations 1 and 2).

    The encoder's bottleneck is flattened and projected by g1, two dense layers without bias. The strategies differ in
    what is positive: ``"gr"`` the two views of a slice (two views, equation 1 over random slices), ``"gd-"`` the
    original and the two views of a slice with the other partitions as negatives, ``"gd"`` besides these the slices
    of one partition across volumes. The decoder is frozen: it takes no part.

    The paper leaves open how the views of a batch meet in batch normalization; they pass together, as released.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        strategy: "gr", "gd-" or "gd".
        image_size: spatial size of the slices in pixels, one number for all axes or one for each; fixes the width of
            g1's first layer.
        temperature: divides the cosine similarities.
        hidden: width of g1's hidden layer.
        features: width of the embedding that is contrasted.
    """

    contrasts_batch = True

    def __init__(
        self,
        network: nn.Module,
        strategy: str = "gd",
        image_size: int | Sequence[int] = (192, 192),
        temperature: float = 0.1,
        hidden: int = 1024,
        features: int = 128,
    ) -> None:
        super().__init__(network)
        positions = prod(self.stages.bottleneck_size(image_size))
        self.head = FlatMLPHead(self.stages.channels[-1] * positions, features, hidden)
        self.loss = PartitionContrastiveLoss(strategy, temperature)
        self.views = self.loss.views

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of equation 2; views are (view 1, view 2) for "gr", (original, view 1, view 2) otherwise.

        Raises:
            KeyError: when the batch lacks a tag that the strategy reads: the partition, for "gd" the volume, too.
            ValueError: when images have another size than ``image_size``.
        """
        bottleneck = self.stages.encode(images_of(views))[-1]
        if bottleneck[0].numel() != self.head.in_features:
            raise ValueError(
                f"GCLGlobal: found images of {tuple(views[0]['image'].shape[2:])} with a bottleneck of "
                f"{bottleneck[0].numel()} features, expected those of the image_size that it was built with, "
                f"{self.head.in_features} features: give it the image_size of the images"
            )
        embeddings = self.head(bottleneck).chunk(len(views))
        return {"loss": self.loss(list(embeddings), **{name: tag_of(tags, name) for name in self.loss.tags})}

    def rules(self, tags: Tags, samples: Tensor, views: int) -> Rules:
        """Those of the loss."""
        return self.loss.rules(tags, samples, views)
