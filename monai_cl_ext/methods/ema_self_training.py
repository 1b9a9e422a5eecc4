# SPDX-License-Identifier: Apache-2.0
"""Self-training with the pseudo-labels of an EMA teacher."""

from __future__ import annotations

from collections.abc import Sequence

from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.two_stages import TwoStages
from monai_cl_ext.types import Losses, Tags, View


class EMASelfTraining(TwoStages):
    """Self-training in two stages with an EMA teacher, BCP without its mixing.

    After the warm-up on labels the network learns the labels of labeled rows and the teacher's pseudo-labels of
    unlabeled ones. The authors of BCP (Bai et al. 2023) report that it does as well as copy-paste with seven labeled
    patients of ACDC: the baseline that shows what the mixing adds.

    Args:
        network, loss, labelled_per_batch, warm_up_steps, consistency_weight, momentum, refine: as of ``TwoStages``;
            the loss is of logits and classes.
    """

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss on labels, that on pseudo-labels after the warm-up, and their weighted sum."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        if self.warming_up:
            return {"loss": supervised_loss(self.loss, maps_of(self.network(rows.labelled), rows.image), rows.label)}
        maps = maps_of(self.network(rows.image), rows.image)
        supervised = supervised_loss(self.loss, [logits[:count] for logits in maps], rows.label)
        pseudo = self.pseudo_labels(rows.unlabelled)
        consistency = supervised_loss(self.loss, [logits[count:] for logits in maps], pseudo)
        return self.weighted(supervised, consistency)
