# SPDX-License-Identifier: Apache-2.0
"""SwAV loss: the prototypes that one crop is assigned to are predicted from the other crops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.distributed import gather_integers
from monai_cl_ext.losses.crop_pairs import crop_pairs_entropy, same_shapes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.sinkhorn import sinkhorn
from monai_cl_ext.numerics import without_autocast

ASSIGNING = 2
"""How many crops, the first ones, are assigned to prototypes."""


class SwAVLoss(nn.Module):
    """Swapped assignments between views (Caron et al., "Unsupervised learning of visual features ...", NeurIPS 2020).

    With prototype scores s_v of crop v, assignments Q_i = sinkhorn(s_i) of the first two crops, and temperature T:

        loss = mean over rows, i and all v != i of -sum over prototypes of Q_i log softmax(s_v / T)

    Assignments get no gradient. Over several processes rows of all are assigned together, and each process returns its
    part of the mean over the rows of all, as in :func:`~monai_cl_ext.losses.contrast`.

    Args:
        temperature: T; positive.
        epsilon, iterations: of :func:`sinkhorn`.
    """

    def __init__(self, temperature: float = 0.1, epsilon: float = 0.05, iterations: int = 3) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)
        self.epsilon = positive_number("epsilon", epsilon)
        self.iterations = positive_integer("iterations", iterations)

    @plain_tensors
    def forward(self, scores: Sequence[Tensor], *, queued: Sequence[Tensor] | None = None) -> Tensor:
        """Mean loss over rows and pairs of crops, a scalar of float32 or float64; 0 where no process has a row.

        Args:
            scores: of each crop (B, K), used as they come; the first two crops are assigned.
            queued: for each of these two, scores (Q, K) of earlier rows, which are assigned together with the crop's
                and do nothing else. Over several processes each gives a part of the queue of its own.

        Raises:
            ValueError: when there are fewer than two crops, or shapes do not fit.
        """
        self._check(scores, queued)
        own = scores[0]
        images = sum(gather_integers(len(own), own.device))
        earlier = [own[:0]] * ASSIGNING if queued is None else queued
        with without_autocast(own.device):
            targets = [
                sinkhorn(torch.cat([rows, crop]), self.epsilon, self.iterations)[len(rows) :]
                for rows, crop in zip(earlier, scores, strict=False)
            ]
            return crop_pairs_entropy(scores, targets, self.temperature, images)

    def _check(self, scores: Sequence[Tensor], queued: Sequence[Tensor] | None) -> None:
        if len(scores) < ASSIGNING or not same_shapes(scores):
            raise ValueError(
                "expected scores of two crops or more, all (B, K) with the same B and K, found"
                f" {[tuple(crop.shape) for crop in scores]}"
            )
        width = scores[0].shape[1]
        if queued is not None and (len(queued) != ASSIGNING or not all(same_shapes([rows], width) for rows in queued)):
            raise ValueError(
                f"queued must be scores (Q, {width}) of earlier rows for each of the two crops that are assigned, found"
                f" {[tuple(rows.shape) for rows in queued]}"
            )
