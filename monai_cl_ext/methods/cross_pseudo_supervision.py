# SPDX-License-Identifier: Apache-2.0
"""Cross pseudo-supervision: two networks teach each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from monai_cl_ext.losses import CrossPseudoSupervisionLoss
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.types import Losses, Tags, View


class CrossPseudoSupervision(SemiSupervised):
    """CPS (Chen et al., CVPR 2021): on unlabeled images each of two networks learns the other's most likely classes.

    The first network is the result.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S).
        second: another such network, whose initial weights differ.
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the loss of unlabeled rows; ramp it up.

    Raises:
        ValueError: when the two are one network, or have equal weights: they would always agree.
    """

    def __init__(
        self,
        network: nn.Module,
        second: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        consistency_weight: float = 0.1,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        own, other = list(network.parameters()), list(second.parameters())
        if len(own) == len(other) and all(map(_equal, own, other)):
            raise ValueError("network and second have equal weights and would always agree: build the second one anew")
        self.second = second
        self.cross_supervision = CrossPseudoSupervisionLoss()

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised losses of both networks, the cross pseudo-supervision and their weighted sum."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        both = [maps_of(network(rows.image), rows.image) for network in (self.network, self.second)]
        first, second = (supervised_loss(self.loss, [logits[:count] for logits in maps], rows.label) for maps in both)
        supervised = first + second
        consistency = self.cross_supervision(*(maps[0][count:] for maps in both))
        return self.weighted(supervised, consistency)


def _equal(one: nn.Parameter, other: nn.Parameter) -> bool:
    if one.is_meta or other.is_meta:
        return one is other
    return one.shape == other.shape and torch.equal(one.cpu(), other.cpu())  # once, when the method is made
