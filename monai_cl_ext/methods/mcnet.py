# SPDX-License-Identifier: Apache-2.0
"""MC-Net and MC-Net+: decoders that differ in upsampling agree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.losses import MutualConsistencyLoss
from monai_cl_ext.methods.deep_supervision import loss_of, refuse_deep_supervision
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.networks import decoder_variants, stages
from monai_cl_ext.types import Losses, Tags, View


class MCNet(SemiSupervised):
    """MC-Net+ (Wu et al., MedIA 2022): three decoders of one encoder, each upsampling in its own way, agree.

    All of them learn the labels. On all images the probabilities of each follow the sharpened ones of the others. The
    network's own decoder is the result. With two decoders it is MC-Net (Wu et al., MICCAI 2021).

    Args:
        network: of a class that ``networks.stages`` knows, which upsamples as ``networks.decoder_variants`` says.
        loss: of the logits and the classes of labeled rows; the paper has Dice alone.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the mutual consistency; ramp it up.
        decoders: how many, the network's own included, 2 or 3.
        temperature: of the sharpening.

    Raises:
        ValueError: when the network has deep supervision, or there are no other ways of upsampling.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        consistency_weight: float = 0.1,
        decoders: int = 3,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        refuse_deep_supervision(self, network)
        if positive_integer("decoders", decoders) not in (2, 3):
            raise ValueError(f"decoders must be 2 (MC-Net) or 3 (MC-Net+), found {decoders}")
        self.stages = stages(network)
        self.decoders = nn.ModuleList(decoder_variants(self.stages, decoders - 1))
        self.mutual_consistency = MutualConsistencyLoss(temperature)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The supervised losses of all decoders, their mutual consistency and the weighted sum."""
        rows, count = self.rows_of(views[0], tags), self.labelled_per_batch
        features = self.stages.encode(rows.image)
        predictions = [each.output(each.decode(features)) for each in (self.stages, *self.decoders)]
        supervised = torch.stack([loss_of(self.loss, logits[:count], rows.label) for logits in predictions]).sum()
        consistency = self.mutual_consistency(predictions)
        return self.weighted(supervised, consistency)
