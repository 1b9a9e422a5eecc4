# SPDX-License-Identifier: Apache-2.0
"""Self-training: the network labels the unlabeled slices, then trains on them as well."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.methods.method import Method
from monai_cl_ext.methods.supervised import Supervised
from monai_cl_ext.types import Losses, Tags, View

BATCH_SIZE = 32
"""Slices predicted at once; fewer of large ones and of patches, whose voxels are at most those of VOXELS."""

VOXELS = 2**21
logger = logging.getLogger(__name__)


class SelfTraining(Method):
    """Rounds of hard pseudo-labels (Bai et al. 2017, without the conditional random field).

    The epochs are divided into ``rounds`` + 1 phases of equal length, what is left over goes to the last one. The first
    trains on the labeled slices alone; each further one begins by predicting hard labels for the unlabeled slices, and
    trains on all. The network goes on from its weights; all slices are drawn alike, and weigh alike.

    Every process predicts by itself, from equal weights and buffers (see ``handlers.SyncBuffers``). The labels are part
    of the method's state, so a resumed run goes on with those that it had.

    Args:
        supervised: what trains on labels, ``Supervised`` or ``Mixup``; its network gives logits (B, classes, *S).
        dataset: the training slices, a ``data.MixedSlices``; its sampler draws of ``with_labels``.
        epochs: of the whole run.
        rounds: how often labels are predicted.

    Raises:
        ValueError: when there are fewer epochs than phases.
    """

    views = 1

    def __init__(self, supervised: Supervised, dataset: Dataset, epochs: int, rounds: int = 3) -> None:
        super().__init__()
        self.supervised = supervised
        self._dataset: Any = dataset
        phase = positive_integer("epochs", epochs) // (positive_integer("rounds", rounds) + 1)
        if phase == 0:
            raise ValueError(f"{rounds} rounds need at least {rounds + 1} epochs, found {epochs}: raise epochs")
        self.starts = [1 + phase * number for number in range(1, rounds + 1)]

    @property
    def predictor(self) -> nn.Module:
        """The network."""
        return self.supervised.predictor

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss on the labels, given or predicted."""
        return self.supervised(views, tags)

    def set_epoch(self, epoch: int) -> None:
        """Labels the unlabeled slices, when a round begins with this epoch."""
        super().set_epoch(epoch)
        if epoch in self.starts:
            self._dataset.give_labels(self.predict())
            logger.info("round %d: labeled %d slices", self.starts.index(epoch) + 1, len(self._dataset.unlabelled))

    def predict(self) -> Tensor:
        """The most likely class at each place of each unlabeled slice, uint8 (slices, 1, *S), on the CPU."""
        network = self.predictor
        device = next(network.parameters()).device
        own = torch.Generator()  # a loader without one would draw from the numbers of the epoch
        unlabelled = self._dataset.unlabelled
        at_once = VOXELS // unlabelled[0]["image"][0].numel()
        loader = DataLoader(unlabelled, min(max(at_once, 1), BATCH_SIZE), generator=own)
        with eval_mode(network):
            labels = [network(part["image"].to(device)).argmax(1, keepdim=True).byte().cpu() for part in loader]
        return torch.cat(labels)

    def get_extra_state(self) -> dict[str, Tensor]:
        """The predicted labels."""
        return {"label": self._dataset.predicted}

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes the labels of a state."""
        if len(state["label"]):
            self._dataset.give_labels(state["label"])
