# SPDX-License-Identifier: Apache-2.0
"""URPC: the scales of one network agree where they are certain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from monai_cl_ext.losses import PyramidConsistencyLoss
from monai_cl_ext.methods.deep_supervision import loss_of, refuse_deep_supervision
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.networks import PyramidHeads, stages
from monai_cl_ext.types import Losses, Tags, View


class URPC(SemiSupervised):
    """URPC (Luo et al., MICCAI 2021): heads on coarser maps of the decoder learn the labels as the network does.

    On unlabeled images each of these predictions, the network's own included, follows the mean of all, less where the
    two differ much. The heads are given perturbed maps, see ``networks.PyramidHeads``, and are thrown away.

    Args:
        network: of a class that ``networks.stages`` knows, with at least two decoder blocks.
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the loss of unlabeled rows; ramp it up.

    Raises:
        ValueError: when the network has deep supervision of its own, or too short a decoder.
    """

    def __init__(
        self, network: nn.Module, loss: nn.Module, labelled_per_batch: int, consistency_weight: float = 0.1
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        refuse_deep_supervision(self, network)
        self.stages = stages(network)
        self.heads = PyramidHeads(self.stages)
        self.pyramid_consistency = PyramidConsistencyLoss()

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The mean supervised loss of all scales, their consistency on unlabeled rows, and the weighted sum."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        maps = self.stages.decoder_maps(self.stages.encode(rows.image))
        scales = [self.stages.output(maps[-1]), *self.heads(maps)]
        supervised = torch.stack([loss_of(self.loss, logits[:count], rows.label) for logits in scales]).mean()
        consistency = self.pyramid_consistency([logits[count:] for logits in scales])
        return self.weighted(supervised, consistency)
