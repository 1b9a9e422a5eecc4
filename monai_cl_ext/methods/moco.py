# SPDX-License-Identifier: Apache-2.0
"""MoCo: a query attracts the key that an EMA teacher gives of the other view, and repels a queue of earlier keys."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.losses import MoCoLoss
from monai_cl_ext.methods.momentum import MomentumMethod
from monai_cl_ext.networks import MemoryQueue, mlp_head, stages
from monai_cl_ext.types import Losses, Tags, View


class MoCo(MomentumMethod):
    """Momentum contrast (He et al., CVPR 2020) with the head of version 2 (Chen et al. 2020).

    The bottleneck's global average passes a two-layer head. The first view is the query; the second passes the EMA
    teacher of network and head, and is the key. The keys of a batch enter the queue after its loss.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        temperature: divides the cosine similarities; version 1 has 0.07.
        queue_size: number K of keys in the queue, at most a quarter of the number N of training images. The queue still
            holds an earlier key of the query's own image, as a negative, for a fraction K^2 / (2 N^2) of the queries:
            3 % at a quarter.
        momentum: of the teacher's parameters.
        features: width of the embedding that is contrasted.
    """

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 0.2,
        queue_size: int = 65536,
        momentum: float = 0.999,
        features: int = 128,
    ) -> None:
        super().__init__(network, mlp_head(stages(network).channels[-1], features), momentum)
        self.queue = MemoryQueue(positive_integer("queue_size", queue_size), features)
        self.loss = MoCoLoss(temperature)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss; views are (query, key); tags are not read."""
        query, key = (view["image"] for view in views)
        return {"loss": self.contrast(self.project(self.embed(query)), self.teacher(key))}

    def contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """The loss of queries and keys, each (B, features); in training the keys enter the queue after it."""
        loss = self.loss(query, key, self.queue.rows)
        if self.training:
            self.queue.enqueue(key)
        return loss
