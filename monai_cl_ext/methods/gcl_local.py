# SPDX-License-Identifier: Apache-2.0
"""Local contrastive pre-training of the decoder (GCL, stage 2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.losses import LocalContrastiveLoss
from monai_cl_ext.methods.method import NetworkMethod, images_of
from monai_cl_ext.networks import pointwise_head, region_projection
from monai_cl_ext.types import Losses, Tags, View


class GCLLocal(NetworkMethod):
    """Local contrast for the decoder (Chaitanya et al. 2020, section 3.3, equations 3 and 4).

    On a pre-trained encoder, whose weights are fixed, the first l decoder blocks are trained with g2, two 1x1
    convolutions, and one dense layer that all regions share; the rest of the network is frozen. Views may differ in
    intensity alone, so that every place stays where it is. The strategies differ in what is positive: ``"lr"`` a
    region in the two views of a slice, ``"ld"`` besides the same region across volumes, in slices of one partition.

    The paper calls the encoder frozen and leaves open what that means for batch normalization. As released, ``"train"``
    goes on normalizing with the statistics of each batch, and averaging them; only weights, scales and shifts are
    fixed. With ``"eval"`` the encoder stays as it came, so it must come with running statistics.

    Args:
        network: the network whose encoder was pre-trained, of a class that ``networks.stages`` knows.
        strategy: "lr" or "ld".
        blocks: l, the decoder blocks to train, counted from the bottleneck.
        region_size: K, side of a region in pixels of the map after these blocks.
        regions: 9 or 13, in volumes 27 or 35, or corners; see ``LocalContrastiveLoss``. None is 13, or 35 in volumes.
        negatives: "all" (the paper) or "released".
        temperature: divides the cosine similarities.
        features: width that each region is projected to; None contrasts g2's regions themselves, as released for K = 1.
        batch_norm: mode of the encoder while the method trains, "train" or "eval".
    """

    aligned_views = slice(None)

    def __init__(
        self,
        network: nn.Module,
        strategy: str = "lr",
        blocks: int = 3,
        region_size: int = 3,
        regions: int | Sequence[Sequence[int]] | None = None,
        negatives: str = "all",
        temperature: float = 0.1,
        features: int | None = 128,
        batch_norm: str = "train",
    ) -> None:
        super().__init__(network, encoder=False, blocks=positive_integer("blocks", blocks))
        self.batch_norm = one_of("batch_norm", batch_norm, ("train", "eval"))
        self.blocks = blocks
        width, dims = self.stages.decoder_channels[blocks - 1], self.stages.spatial_dims
        self.head = pointwise_head(width, dims)
        projection = None if features is None else region_projection(width, region_size, features, dims)
        if regions is None:
            regions = 13 if dims == 2 else 35
        self.loss = LocalContrastiveLoss(strategy, region_size, regions, negatives, temperature, projection)
        self.train()

    def train(self, mode: bool = True) -> GCLLocal:
        """Sets the mode of training, in which the encoder follows ``batch_norm``."""
        super().train(mode)
        for name in self.stages.encoder_prefixes:
            self.stages.network.get_submodule(name).train(mode and self.batch_norm == "train")
        return self

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of equation 4; views are two, of one geometry; tags are read for "ld" alone."""
        maps = self.head(self.stages.decode(self.stages.encode(images_of(views)), self.blocks))
        return {"loss": self.loss(*maps.chunk(2), tags.get("partition"), tags.get("volume"))}
