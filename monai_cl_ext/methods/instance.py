# SPDX-License-Identifier: Apache-2.0
"""Contrast of whole images: what methods share that pool the bottleneck and contrast two views."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.methods.method import Method, trained_encoder
from monai_cl_ext.types import Losses, Tags, View


class InstanceContrast(Method):
    """Two views of each image, pooled at the bottleneck, projected and contrasted; the decoder is frozen.

    Both views pass the network together, so batch normalisation sees them as one batch.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.encoder = trained_encoder(network)

    @abstractmethod
    def project(self, pooled: Tensor) -> tuple[Tensor, ...]:
        """One projection (N, D) for each head of pooled features (N, channels[-1])."""

    @abstractmethod
    def contrast(self, first: Sequence[Tensor], second: Sequence[Tensor], tags: Tags) -> Losses:
        """Losses of the projections of two views, "loss" and its parts.

        Args:
            first, second: what :meth:`project` gives of each view, row by row of the same images.
            tags: as in ``forward``.
        """

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The losses of two views.

        Raises:
            ValueError: when there are not two views.
        """
        if len(views) != 2:
            raise ValueError(f"{type(self).__name__} contrasts two views of an image, found {len(views)}: give two")
        pooled = self.encoder.embed(torch.cat([view["image"] for view in views]))
        return self.contrast(*halves(self.project(pooled)), tags)

    def embed(self, image: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1])."""
        return self.encoder.embed(image)


def halves(projections: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The projections of view 1 and of view 2, from those of both, one below the other."""
    first, second = zip(*(projection.chunk(2) for projection in projections), strict=True)
    return first, second
