# SPDX-License-Identifier: Apache-2.0
"""DeSD: DINO in which every stage of the student's encoder follows the teacher's deepest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.losses import DeSDLoss
from monai_cl_ext.methods.dino import DINO
from monai_cl_ext.networks import Stages, crop_embeddings, stages
from monai_cl_ext.types import Losses, Tags, View


class DeSD(DINO):
    """Deep self-distillation (Ye et al., "DeSD", MICCAI 2022): DINO that trains shallow stages, too.

    The student has a head on the global average of each of its deepest stages, the teacher one on the bottleneck. All
    heads of the student follow the teacher's. The release has four stages of a ResNet and no local crops.

    As in DINO, the network that is handed over is the teacher, the one that the release fine-tunes. It follows the
    student by the names of parameters; the student's further heads are not in it and follow nobody.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        head: makes a head of the width of a stage, such as ``networks.DINOHead`` with its other arguments given.
        loss: between the outputs of all heads of the student and the teacher's.
        levels: how many stages, the deepest ones, have a head; the bottleneck is one of them.
        global_crops, teacher_temperature, momentum: as in ``DINO``.

    Attributes:
        level_heads: the heads of the stages above the bottleneck, from shallow to deep; its own is in ``student``.
    """

    def __init__(
        self,
        network: nn.Module,
        head: Callable[[int], nn.Module],
        loss: DeSDLoss,
        levels: int = 4,
        global_crops: int = 2,
        teacher_temperature: float = 0.04,
        momentum: float = 0.996,
    ) -> None:
        channels = stages(network).channels
        if positive_integer("levels", levels) > len(channels):
            raise ValueError(f"levels must be from 1 to {len(channels)} for this network, found {levels}")
        super().__init__(network, head, loss, global_crops, teacher_temperature, momentum)
        self.widths = channels[-levels:]
        self.level_heads = nn.ModuleList(head(width) for width in self.widths[:-1])

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of all crops and levels; the first views are the global crops. Tags are not read."""
        crops = [view["image"] for view in views]
        levels = crop_embeddings(self._pooled, crops).split(self.widths, dim=1)
        heads = [*self.level_heads, self.student.head]
        student = [head(level).chunk(len(crops)) for head, level in zip(heads, levels, strict=True)]
        return self.distill(student, crops)

    def _pooled(self, image: Tensor) -> Tensor:
        """Global averages of the student's deepest levels, side by side, (B, sum of their widths)."""
        maps = cast(Stages, self.student.backbone).encode(image)[-len(self.widths) :]
        return torch.cat([Stages.pooled(features) for features in maps], dim=1)
