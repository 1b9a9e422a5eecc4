# SPDX-License-Identifier: Apache-2.0
"""Losses of momentum contrast (MoCo): queries against the keys of an EMA teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.distributed import RowGather
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import matching, same, sample_tags
from monai_cl_ext.numerics import joined


class MoCoLoss(nn.Module):
    """InfoNCE of each query, its key and a queue of earlier keys (MoCo, He et al. 2020, eq. 1; Chen et al. 2020).

    The negatives are the queue's rows alone; the keys of other images of the batch are none.

    Args:
        temperature: divides the cosine similarities; positive.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)

    @plain_tensors
    def forward(self, query: Tensor, key: Tensor, queue: Tensor) -> Tensor:
        """Mean loss over the queries of all processes.

        Args:
            query: embeddings of one view, (B, D), of any scale.
            key: the teacher's embeddings of the other view, likewise; no gradient passes.
            queue: (K, D), likewise, the same in all processes.

        Raises:
            ValueError: when query and key are not both (B, D), or the queue is not (K, D).
        """
        check_embeddings(query=query, key=key)
        if queue.ndim != 2 or queue.shape[1] != query.shape[1]:
            raise ValueError(f"queue must be (K, {query.shape[1]}) as query and key, found {tuple(queue.shape)}")
        image = sample_tags(len(query), query.device)
        queued = image.new_full((len(queue),), -1)
        tag = torch.cat([image, image, queued])
        candidates = joined(key.detach(), queue.detach())
        rules = same(tag), matching(torch.full_like(tag, -1), tag)
        return contrast(query, *rules, temperature=self.temperature, candidates=candidates)


class MoCoV3Loss(nn.Module):
    """InfoNCE of the queries of each view and the keys of the other, without a queue (Chen et al. 2021, algorithm 1).

    2 temperature (l(q1, k2) + l(q2, k1)), where the negatives of a query are the keys of all other images.

    Args:
        temperature: divides the cosine similarities; positive. The paper has 1.0 for a ResNet, 0.2 for a ViT.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)

    @plain_tensors
    def forward(self, q1: Tensor, k2: Tensor, q2: Tensor, k1: Tensor) -> Tensor:
        """Mean loss over the images of all processes.

        Args:
            q1, q2: predictions for the views 1 and 2, (B, D), of any scale.
            k2, k1: the teacher's projections of the views 2 and 1, likewise; no gradient passes.

        Raises:
            ValueError: when they are not all (B, D).
        """
        check_embeddings(q1=q1, k2=k2, q2=q2, k1=k1)
        return 2 * self.temperature * (self._one_way(q1, k2) + self._one_way(q2, k1))

    def _one_way(self, query: Tensor, key: Tensor) -> Tensor:
        image = sample_tags(len(query), query.device)
        gather = RowGather(len(key), key.device)
        rule = same(torch.cat([image, gather(image)]))
        return contrast(query, rule, temperature=self.temperature, candidates=gather(key.detach()))
