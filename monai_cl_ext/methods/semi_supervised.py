# SPDX-License-Identifier: Apache-2.0
"""What the semi-supervised methods share: batches of labeled and unlabeled rows, and the weight of the latter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, weight
from monai_cl_ext.methods.supervised import Supervised
from monai_cl_ext.types import Losses, Tags, View


@dataclass(frozen=True)
class MixedRows:
    """A batch in its two parts.

    Attributes:
        labelled: images (L, C, *S).
        label: their classes, int64 (L, 1, *S).
        unlabelled: images (U, C, *S).
        image: all images (L + U, C, *S).
    """

    labelled: Tensor
    label: Tensor
    unlabelled: Tensor
    image: Tensor


class SemiSupervised(Supervised):
    """Training with labels of the first rows of a batch, and with the images alone of the others.

    ``data.TwoStreamBatchSampler`` makes such batches. With deep supervision every map learns the labels, and
    the pseudo-labels that a method gives the loss; what networks agree on is their finest map. ``MCNet``, ``UniMatch``
    and ``URPC`` refuse such networks.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S), in training also to several maps of them.
        loss: of the logits and the classes (L, 1, *S) of labeled rows.
        labelled_per_batch: number of labeled rows, L.
        consistency_weight: of the loss of unlabeled rows.

    Attributes:
        consistency_weight: a number that a schedule may set at any time, see ``engines.ramp_up_value``.
    """

    def __init__(
        self, network: nn.Module, loss: nn.Module, labelled_per_batch: int, consistency_weight: float = 1.0
    ) -> None:
        super().__init__(network, loss)
        if labelled_per_batch == 0:
            raise ValueError(
                "labelled_per_batch is 0, and a batch must hold at least one labeled and one unlabeled row: give a "
                "batch_size of at least 2"
            )
        self.labelled_per_batch = positive_integer("labelled_per_batch", labelled_per_batch)
        self.consistency_weight = weight("consistency_weight", consistency_weight)

    @abstractmethod
    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of both kinds of rows.

        Raises:
            KeyError: when the batch has no labels.
            ValueError: when it has no unlabeled rows, or its labels are masks of regions.
        """

    def weighted(self, supervised: Tensor, consistency: Tensor, **parts: Tensor) -> Losses:
        """What ``forward`` returns: "loss", the supervised one plus the weighted consistency, both, and ``parts``."""
        loss = supervised + self.consistency_weight * consistency
        return {"loss": loss, "supervised": supervised, "consistency": consistency, **parts}

    def rows_of(self, view: View, tags: Tags) -> MixedRows:
        """Labeled and unlabeled rows of a view; the errors are those of :meth:`forward`."""
        image, count = view["image"], self.labelled_per_batch
        if len(image) <= count:
            raise ValueError(
                f"{type(self).__name__} takes {count} labeled rows and unlabeled ones behind them, found a batch of "
                f"{len(image)}: draw batches by data.TwoStreamBatchSampler"
            )
        label = self.target_of(view, tags)[:count]
        if label.shape[1:] != (1, *image.shape[2:]):
            raise ValueError(
                f"{type(self).__name__} learns one class a voxel and takes labels {(len(image), 1, *image.shape[2:])}, "
                f"found {(len(image), *label.shape[1:])}: give class numbers"
            )
        return MixedRows(image[:count], label, image[count:], image)
