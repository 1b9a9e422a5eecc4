# SPDX-License-Identifier: Apache-2.0
"""SASSNet: signed distances on unlabeled images are to look like those on labeled ones to an evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.methods.labelled_or_not import LabelledOrNot
from monai_cl_ext.methods.signed_distances import SignedDistances
from monai_cl_ext.types import Losses, Tags, View


class SASSNet(LabelledOrNot, SignedDistances):
    """Shape-aware semi-supervised segmentation (Li et al., MICCAI 2020): an adversary of the shapes alone.

    A second head predicts signed distances, which labeled rows learn beside their classes. An evaluator sees them with
    the image, and learns by cross-entropy which rows are labeled; the network learns, by the same loss, distances on
    unlabeled images that the evaluator takes for those of labeled ones. The evaluator judges without dropout and
    learns with it.

    Args:
        network: of a class that ``networks.stages`` knows, with a decoder; from images (B, C, *S) to logits
            (B, classes, *S).
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        adversary: the evaluator, such as ``networks.Evaluator``, with its optimizer: from signed distances
            (B, classes - 1, *S) and images to logits (B, 2) of "unlabeled" and "labeled".
        consistency_weight: of the network's loss on unlabeled rows; ramp it up.
        distance_weight: of the squared error of the distances of labeled rows.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        adversary: Adversary,
        consistency_weight: float = 0.01,
        distance_weight: float = 0.3,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight, distance_weight)
        self.adversary = adversary

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised loss, "consistency" on unlabeled rows, their weighted sum, and the evaluator's own loss."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        maps, distance = self.predict(rows.image)
        supervised = self.supervised(maps, distance, rows)
        consistency = self.taken_for_labelled(distance[count:], rows.unlabelled)
        evaluator = self.told_apart(distance, rows.image)
        return self.weighted(supervised, consistency, evaluator=evaluator)
