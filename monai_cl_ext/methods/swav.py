# SPDX-License-Identifier: Apache-2.0
"""SwAV: from each crop, predict the prototypes that another crop of the image is assigned to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import whole_number
from monai_cl_ext.distributed import gather_integers, rank, world_size
from monai_cl_ext.losses import SwAVLoss
from monai_cl_ext.methods.method import NetworkMethod
from monai_cl_ext.networks import MemoryQueue, Prototypes, crop_embeddings, mlp_head
from monai_cl_ext.types import Losses, Tags, View


class SwAV(NetworkMethod):
    """Swapped assignments between views (Caron et al., "Unsupervised learning of visual features ...", NeurIPS 2020).

    The bottleneck's global average passes a two-layer head with batch normalization and is compared with prototypes.
    The first two views, the global crops, are assigned so that all prototypes are used alike; every crop is to predict
    the assignments of the others. Crops of one size pass the network together, all of them the head.

    A batch with fewer rows than prototypes cannot use all alike, so each of the two crops may have a queue: earlier
    embeddings of its place, which are assigned together with the batch. It is filled from the first step, and used from
    step ``queue_start`` on and once so many steps like the present one have filled it.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        loss: of the scores of all crops.
        prototypes: how many.
        hidden: width of the head's hidden layer.
        features: width of the embeddings that are compared with the prototypes.
        queue_size: rows in each queue, no less than a batch of all processes; 0 for none.
        queue_start: steps before the queues are used.

    Attributes:
        prototypes: the layer whose gradients are dropped in the first steps, see ``handlers.DropGradients``.
    """

    more_views = True
    collapse_causes = "a learning rate that is too high, or assignments that are too soft (epsilon) or of too few rows"

    def __init__(
        self,
        network: nn.Module,
        loss: SwAVLoss,
        prototypes: int = 3000,
        hidden: int = 2048,
        features: int = 128,
        queue_size: int = 0,
        queue_start: int = 0,
    ) -> None:
        super().__init__(network)
        self.projection_head = mlp_head(self.stages.channels[-1], features, hidden=hidden, batch_norm=True)
        self.prototypes = Prototypes(features, prototypes)
        self.loss = loss
        queue_size = whole_number("queue_size", queue_size)
        self.queues = nn.ModuleList(MemoryQueue(queue_size, features) for _ in range(2 if queue_size else 0))
        self.queue_start = whole_number("queue_start", queue_start)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of all crops, of which the first two are assigned; in training the queues take their embeddings.

        Tags are not read.
        """
        crops = [view["image"] for view in views]
        z = self.project(crop_embeddings(self.stages, crops))
        scores = self.prototypes(z).chunk(len(crops))
        loss = self.loss(scores, queued=self._queued(scores[0]))
        if self.training:
            for queue, rows in zip(self._queues, z.chunk(len(crops)), strict=False):
                queue.enqueue(rows)
        return {"loss": loss}

    def project(self, embedding: Tensor) -> Tensor:
        """What is compared with the prototypes."""
        return self.projection_head(embedding)

    @torch.no_grad()
    def _queued(self, scores: Tensor) -> list[Tensor] | None:
        """This process's part of the scores of each queue's rows, under the present prototypes; None while not in use.

        Whether a queue is full follows from the number of steps, which a resumed run has too, so no device is asked.
        """
        if not self.queues or self.iteration < self.queue_start:
            return None
        if self.iteration * sum(gather_integers(len(scores), scores.device)) < len(self._queues[0].rows):
            return None
        return [self.prototypes(queue.rows.tensor_split(world_size())[rank()]) for queue in self._queues]

    @property
    def _queues(self) -> list[MemoryQueue]:
        return cast(list[MemoryQueue], list(self.queues))
