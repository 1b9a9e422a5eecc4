# SPDX-License-Identifier: Apache-2.0
"""DTC: the classes and the signed distances that a network predicts agree."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from monai_cl_ext.losses import DualTaskConsistencyLoss
from monai_cl_ext.methods.signed_distances import SignedDistances
from monai_cl_ext.types import Losses, Tags, View


class DTC(SignedDistances):
    """Dual-task consistency (Luo et al., AAAI 2021): one network predicts classes and signed distances.

    Labeled rows learn both, the distances by a second head. On all rows the distances, turned into a mask of each
    class, agree with the probabilities.

    Args:
        network: of a class that ``networks.stages`` knows, with a decoder; from images (B, C, *S) to logits
            (B, classes, *S).
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the disagreement; ramp it up.
        distance_weight: of the squared error of the distances of labeled rows.
        k: steepness of the step from distances to masks.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        consistency_weight: float = 1.0,
        distance_weight: float = 0.3,
        k: float = 1500.0,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight, distance_weight)
        self.dual_task = DualTaskConsistencyLoss(k)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised loss, the disagreement of both predictions on all rows, and their weighted sum."""
        rows = self.rows_of(views[0], tags)
        maps, distance = self.predict(rows.image)
        supervised = self.supervised(maps, distance, rows)
        consistency = self.dual_task(distance, maps[0])
        return self.weighted(supervised, consistency)
