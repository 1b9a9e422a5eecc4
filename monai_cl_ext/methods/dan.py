# SPDX-License-Identifier: Apache-2.0
"""DAN: predictions on unlabeled images are to look like those on labeled ones to an evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks import eval_mode
from torch import nn

from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.labelled_or_not import LabelledOrNot
from monai_cl_ext.numerics import probabilities
from monai_cl_ext.types import Losses, Tags, View


class DAN(LabelledOrNot):
    """Deep adversarial network (Zhang et al., MICCAI 2017), in the form of SSL4MIS.

    An evaluator sees an image and the network's probabilities, and learns by cross-entropy which rows are labeled. The
    network learns, by the same loss, probabilities on unlabeled images that the evaluator takes for those of labeled
    ones. The evaluator judges without dropout; it learns with it, from what the network predicts in evaluation mode.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S).
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        adversary: the evaluator, such as ``networks.Evaluator``, with its optimizer: from probabilities
            (B, classes, *S) and images to logits (B, 2) of "unlabeled" and "labeled".
        consistency_weight: of the network's loss on unlabeled rows.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        adversary: Adversary,
        consistency_weight: float = 0.1,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        self.adversary = adversary

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised loss, "consistency" on unlabeled rows, their weighted sum, and the evaluator's own loss."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        maps = maps_of(self.network(rows.image), rows.image)
        supervised = supervised_loss(self.loss, [logits[:count] for logits in maps], rows.label)
        consistency = self.taken_for_labelled(probabilities(maps[0][count:]), rows.unlabelled)
        with eval_mode(self.network):
            predicted = probabilities(maps_of(self.network(rows.image), rows.image)[0])
        evaluator = self.told_apart(predicted, rows.image)
        return self.weighted(supervised, consistency, evaluator=evaluator)
