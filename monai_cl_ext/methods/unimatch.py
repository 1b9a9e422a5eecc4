# SPDX-License-Identifier: Apache-2.0
"""Weak-to-strong consistency: FixMatch and UniMatch for segmentation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout2d, dropout3d

from monai_cl_ext.arguments import probability
from monai_cl_ext.losses import MaskedDiceCELoss
from monai_cl_ext.methods.deep_supervision import loss_of, only_map, refuse_deep_supervision
from monai_cl_ext.methods.random_boxes import RandomBoxes
from monai_cl_ext.methods.two_stages import TwoStages
from monai_cl_ext.networks import stages
from monai_cl_ext.numerics import probabilities
from monai_cl_ext.types import Losses, Tags, View


class UniMatch(TwoStages):
    """UniMatch (Yang et al., CVPR 2023, section 3); FixMatch (Sohn et al. 2020) with one strong view and no dropout.

    What an EMA teacher predicts on the weak view of unlabeled images is their pseudo-label where it is confident. The
    network learns these on strong views of the same places, into which boxes of another image are pasted with its
    pseudo-labels (CutMix), and on the weak view with dropped channels in the encoder's features. By default the teacher
    is the network itself, as in the paper; a momentum is of UniMatch V2 (Yang et al. 2025).

    The views are the weak one, from the batch, and strong ones, in the paper two, each made from the weak one by
    intensities alone: ``PrepareViews(..., made_from=[None, 0, 0])``.

    Args:
        network: of a class that ``networks.stages`` knows.
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        warm_up_steps: optimizer steps on labels alone, of those of the whole run.
        consistency_weight: of the loss on pseudo-labels, the mean of that on strong views and that under dropout.
        momentum: of the teacher's parameters after the warm-up.
        threshold: smallest probability of a pseudo-label that is learned.
        feature_dropout: chance that a channel of the encoder's features is dropped; 0 leaves this part out.
        boxes: draws the boxes that are pasted.

    Raises:
        ValueError: when the network has deep supervision.
    """

    views, more_views = 2, True
    aligned_views = slice(None)

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        warm_up_steps: int = 0,
        consistency_weight: float = 1.0,
        momentum: float = 0.0,
        threshold: float = 0.95,
        feature_dropout: float = 0.5,
        boxes: RandomBoxes | None = None,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, warm_up_steps, consistency_weight, momentum)
        refuse_deep_supervision(self, network)
        self.stages = stages(network)
        self.threshold = probability("threshold", threshold)
        self.feature_dropout = probability("feature_dropout", feature_dropout)
        self.boxes = RandomBoxes(0.15, 0.75, probability=0.5) if boxes is None else boxes
        self.pseudo_label_loss = MaskedDiceCELoss(lambda_dice=1.0, lambda_ce=0.0)

    def set_epoch(self, epoch: int) -> None:
        """Seeds the boxes of an epoch."""
        self.boxes.set_epoch(epoch)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised loss, and after the warm-up that on pseudo-labels, their weighted sum, and the share learned.

        Raises:
            KeyError: when the batch has no labels.
            ValueError: when it has fewer than two unlabeled rows, or the network gives several maps.
        """
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        if len(rows.unlabelled) < 2:
            raise ValueError("UniMatch pastes unlabeled images into each other: give 2 of them a batch, found 1")
        if self.warming_up:
            logits = only_map(self, self.network(rows.labelled), rows.labelled)
            return {"loss": loss_of(self.loss, logits, rows.label)}
        features = self.stages.encode(rows.image)
        logits = self.stages.output(self.stages.decode(features))
        supervised = loss_of(self.loss, logits[:count], rows.label)
        taught = only_map(self, self.teacher(rows.unlabelled), rows.unlabelled)
        confidence, label = probabilities(taught).max(1, keepdim=True)
        confident = (confidence >= self.threshold).to(rows.image.dtype)
        consistency = self._strong([view["image"][count:] for view in views[1:]], label, confident)
        if self.feature_dropout:
            dropped = self._dropped([level[count:] for level in features])
            consistency = (consistency + self.pseudo_label_loss(dropped, label, confident)) / 2
        return self.weighted(supervised, consistency, confident=confident.mean())

    def _strong(self, images: Sequence[Tensor], label: Tensor, confident: Tensor) -> Tensor:
        """Mean loss of the strong views, each with boxes of the image before it in the batch."""
        masks = [self.boxes(image) for image in images]
        mixed = [torch.lerp(image.roll(1, 0), image, mask) for image, mask in zip(images, masks, strict=True)]
        predicted = only_map(self, self.network(torch.cat(mixed)), images[0])
        losses = []
        for logits, mask in zip(predicted.chunk(len(mixed)), masks, strict=True):
            mixed_label = torch.where(mask > 0, label, label.roll(1, 0))
            losses.append(
                self.pseudo_label_loss(logits, mixed_label, torch.lerp(confident.roll(1, 0), confident, mask))
            )
        return torch.stack(losses).mean()

    def _dropped(self, features: Sequence[Tensor]) -> Tensor:
        """Logits from features with dropped channels."""
        drop = dropout2d if self.stages.spatial_dims == 2 else dropout3d
        return self.stages.output(self.stages.decode([drop(level, self.feature_dropout) for level in features]))
