# SPDX-License-Identifier: Apache-2.0
"""OwnMethod: two views of a slice attract, and so do slices of one partition across volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.losses import Rule, both_known, contrast, same, sample_tags
from monai_cl_ext.methods import NetworkMethod
from monai_cl_ext.networks import mlp_head
from monai_cl_ext.types import Losses, Tags, View


class OwnMethod(NetworkMethod):
    """A start to be changed: the bottleneck's global average passes a head, and one rule says what is contrasted.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        temperature: divides the cosine similarities.
        features: width of the embedding that is contrasted.
    """

    # YOUR IDEA, first place: how many views of each image the method takes. The list "policies" in pretrain.json has
    # one policy for each.
    views = 2
    # What makes all projections alike most often; the warning of a collapse names it.
    collapse_causes = "a learning rate or a temperature that is too high, or views that have too little in common"

    def __init__(self, network: nn.Module, temperature: float = 0.1, features: int = 128) -> None:
        super().__init__(network)  # trains the encoder and freezes the decoder; blocks=3 trains three of its blocks too
        # YOUR IDEA, second place: heads, a queue, an EMA teacher (networks.MomentumTeacher, moved in after_step).
        self.head = mlp_head(self.stages.channels[-1], features)
        self.temperature = temperature

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of two views; what stands beside "loss" is logged under its name."""
        # YOUR IDEA, third place: what is embedded. self.stages.encode(image) gives all feature maps, and
        # self.stages.decode(features, blocks=3) those of the decoder.
        images = torch.cat([view["image"] for view in views])  # (2 B, C, *S), view by view
        z = self.project(self.embed(images))  # (2 B, features)
        samples = sample_tags(len(images) // len(views), z.device)
        return {"loss": contrast(z, *self.rules(tags, samples, len(views)), temperature=self.temperature)}

    def project(self, embedding: Tensor) -> Tensor:
        """What the loss compares of embeddings (B, channels[-1]); a warning tells when it is alike for all images."""
        return self.head(embedding)

    def rules(self, tags: Tags, samples: Tensor, views: int) -> tuple[Rule, Rule | None]:
        """Which pairs of rows attract, and which repel; the report page draws them.

        Args:
            tags: "volume", "position", "partition" and every other tag of the batch, one value a slice (B,).
            samples: a number for each slice (B,).
            views: number of views; rows stand view by view.

        Returns:
            (positive, negative); None for negative: every pair that is not positive repels.
        """
        # YOUR IDEA, fourth place: rules combine by &, | and ~ (losses.same, different, both_known, Rule). Partition -1
        # stands for "unknown".
        partition = tags["partition"].repeat(views)
        return same(samples.repeat(views)) | (same(partition) & both_known(partition)), None
