# SPDX-License-Identifier: Apache-2.0
"""Contrast of whole images: what methods share that pool the bottleneck and contrast two views."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from monai_cl_ext.losses.rules import Rules
from monai_cl_ext.methods.method import NetworkMethod, images_of
from monai_cl_ext.types import Losses, Tags, View


class InstanceContrast(NetworkMethod):
    """Two views of each image, pooled at the bottleneck, projected and contrasted.

    Both views pass the network together, so batch normalization sees them as one batch.

    Attributes:
        head: from pooled features to the embeddings that are contrasted.
        loss: of the whole images; its ``rules`` say which of them are positive.
    """

    collapse_causes = "a learning rate or a temperature that is too high, or views that have too little in common"
    contrasts_batch = True
    head: nn.Module
    loss: Any

    @abstractmethod
    def contrast(self, pooled: Tensor, tags: Tags) -> tuple[Losses, Tensor]:
        """The losses of two views and the embeddings that are contrasted.

        Args:
            pooled: features of the bottleneck (2 B, channels[-1]), view by view.
            tags: as in ``forward``.

        Returns:
            "loss" and its parts; and (2 B, D), in which SuperCL contrasts images under its graph.
        """

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The losses of two views."""
        return self.contrast(self.stages.embed(images_of(views)), tags)[0]

    def project(self, embedding: Tensor) -> Tensor:
        """What the head makes of the embeddings."""
        return self.head(embedding)

    def rules(self, tags: Tags, samples: Tensor, views: int) -> Rules:
        """Those of the loss."""
        return self.loss.rules(tags, samples, views)
