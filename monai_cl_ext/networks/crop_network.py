# SPDX-License-Identifier: Apache-2.0
"""A backbone and a head for crops of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class CropNetwork(nn.Module):
    """A backbone and its head, for crops of several sizes.

    Args:
        backbone: from images (B, C, *S) to embeddings (B, D).
        head: from embeddings to outputs (B, out_dim).
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, crops: Sequence[Tensor]) -> list[Tensor]:
        """Outputs of each crop; one pass of the backbone for each size, one of the head for all."""
        return list(self.head(crop_embeddings(self.backbone, crops)).chunk(len(crops)))


def crop_embeddings(backbone: Callable[[Tensor], Tensor], crops: Sequence[Tensor]) -> Tensor:
    """Embeddings of crops of several sizes, in one pass of the backbone for each size.

    Args:
        backbone: from images (B, C, *S) to embeddings (B, D).
        crops: V crops of the same images, each (B, C, *S).

    Returns:
        (V * B, D), crop by crop in their order.
    """
    embeddings: dict[int, Tensor] = {}
    for size in dict.fromkeys(crop.shape[2:] for crop in crops):
        members = [index for index, crop in enumerate(crops) if crop.shape[2:] == size]
        joined = backbone(torch.cat([crops[index] for index in members]))
        embeddings.update(zip(members, joined.chunk(len(members)), strict=True))
    return torch.cat([embeddings[index] for index in range(len(crops))])
