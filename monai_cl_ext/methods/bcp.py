# SPDX-License-Identifier: Apache-2.0
"""Bidirectional copy-paste: labeled and unlabeled images are pasted into each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.losses import MaskedDiceCELoss
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.random_boxes import RandomBoxes
from monai_cl_ext.methods.two_stages import TwoStages
from monai_cl_ext.types import Losses, Tags, View


class BCP(TwoStages):
    """Bidirectional copy-paste (Bai et al., CVPR 2023, equations 2 to 8).

    The warm-up pastes labeled images into each other. Then, with one box for the whole batch, labeled images get the
    box of unlabeled ones and the other way round; the loss on pasted pseudo-labels has ``consistency_weight``, that on
    labels 1. Both mixtures pass the network together.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S), the student.
        loss: of logits, classes and a mask.
        labelled_per_batch: number of labeled rows, which come first, and of unlabeled ones; at least 2.
        warm_up_steps: optimizer steps of the first stage, of those of the whole run.
        consistency_weight: of the loss on pseudo-labels.
        momentum: of the teacher's parameters in the second stage.
        refine: what is made of the pseudo-labels, such as ``transforms.keep_largest_components``.
        boxes: draws the boxes; by default one a batch, two thirds of each side.

    Raises:
        ValueError: when there are fewer than two labeled rows.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: MaskedDiceCELoss,
        labelled_per_batch: int,
        warm_up_steps: int,
        consistency_weight: float = 0.5,
        momentum: float = 0.99,
        refine: Callable[[Tensor], Tensor] | None = None,
        boxes: RandomBoxes | None = None,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, warm_up_steps, consistency_weight, momentum, refine)
        if labelled_per_batch < 2:
            raise ValueError(
                f"BCP pastes labeled images into each other: give 2 of them a batch, found {labelled_per_batch}"
            )
        self.boxes = RandomBoxes(2 / 3, 2 / 3, shared=True) if boxes is None else boxes

    def set_epoch(self, epoch: int) -> None:
        """Seeds the boxes of an epoch."""
        self.boxes.set_epoch(epoch)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of the mixtures; after the warm-up its parts on labels and on pseudo-labels too.

        Raises:
            KeyError: when the batch has no labels.
            ValueError: when it does not hold as many unlabeled rows as labeled ones.
        """
        rows = self.rows_of(views[0], tags)
        if len(rows.unlabelled) != len(rows.labelled):
            raise ValueError(
                f"BCP pastes each of {len(rows.labelled)} labeled rows into an unlabeled one and needs as many of "
                f"these, found {len(rows.unlabelled)}: give the sampler equal numbers, an even batch_size"
            )
        outside = self.boxes(rows.labelled)
        if self.warming_up:
            image, label = rows.labelled.roll(1, 0), rows.label.roll(1, 0)
            maps = maps_of(self.network(torch.lerp(image, rows.labelled, outside)), image)
            outside = outside.expand_as(rows.label)
            supervised = supervised_loss(self.loss, maps, rows.label, outside)
            return {"loss": supervised + supervised_loss(self.loss, maps, label, 1 - outside)}
        pseudo = self.pseudo_labels(rows.unlabelled)
        unlabelled = rows.unlabelled.roll(1, 0)  # another partner in each direction, as in the paper
        inwards = torch.lerp(rows.labelled, rows.unlabelled, outside)
        outwards = torch.lerp(unlabelled, rows.labelled, outside)
        maps = maps_of(self.network(torch.cat([inwards, outwards])), inwards)
        first = [logits[: len(inwards)] for logits in maps]
        second = [logits[len(inwards) :] for logits in maps]
        outside = outside.expand_as(rows.label)
        inside = 1 - outside
        supervised = supervised_loss(self.loss, first, rows.label, inside)
        supervised = supervised + supervised_loss(self.loss, second, rows.label, outside)
        consistency = supervised_loss(self.loss, first, pseudo, outside)
        consistency = consistency + supervised_loss(self.loss, second, pseudo.roll(1, 0), inside)
        return self.weighted(supervised, consistency)
