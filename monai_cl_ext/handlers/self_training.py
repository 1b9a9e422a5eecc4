# SPDX-License-Identifier: Apache-2.0
"""Self-training: the network labels the unlabelled slices, then trains on them as well."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from ignite.engine import Engine, Events
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.utils.data import DataLoader

from monai_cl_ext.arguments import positive_integer

if TYPE_CHECKING:  # the data room needs scipy, which a bare GPU machine lacks
    from monai_cl_ext.data.pseudo_labels import PseudoLabelledSlices

BATCH_SIZE = 32  # slices predicted at once


class SelfTraining:
    """Labels the unlabelled slices anew as each round begins (Bai et al. 2017, without the conditional random field).

    The epochs are divided into ``rounds`` + 1 phases of equal length, what is left over goes to the last one. The first
    trains on the labelled slices alone; each further one begins by predicting hard labels for the unlabelled slices,
    and trains on all. The network goes on from its weights; all slices are drawn alike, and weigh alike.

    Every process predicts by itself, from equal weights and buffers (see ``SyncBuffers``). With the dataset in the
    ``save_dict`` of ``Resume``, a resumed run goes on with the labels that it had.

    Args:
        network: the network that is trained, not the DistributedDataParallel wrapper; gives logits (B, classes, *S).
        dataset: the training slices.
        epochs: of the whole run.
        rounds: how often labels are predicted.

    Raises:
        ValueError: when there are fewer epochs than phases.
    """

    def __init__(self, network: nn.Module, dataset: PseudoLabelledSlices, epochs: int, rounds: int = 3) -> None:
        self.network = network
        self.dataset = dataset
        phase = positive_integer("epochs", epochs) // (positive_integer("rounds", rounds) + 1)
        if phase == 0:
            raise ValueError(f"{rounds} rounds need at least {rounds + 1} epochs, found {epochs}: raise epochs")
        self.starts = [1 + phase * number for number in range(1, rounds + 1)]
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Labels before the first batch of a round is drawn."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Labels now, when a round begins with this epoch."""
        if engine.state.epoch in self.starts:
            self.dataset.give_labels(self.predict(engine.state.device))
            number = self.starts.index(engine.state.epoch) + 1
            self.logger.info("round %d: labelled %d slices", number, len(self.dataset.unlabelled))

    def predict(self, device: torch.device) -> Tensor:
        """The most likely class at each place of each unlabelled slice, uint8 (slices, 1, *S), on the CPU."""
        own = torch.Generator()  # a loader without one would draw from the numbers of the epoch
        loader = DataLoader(self.dataset.unlabelled, BATCH_SIZE, generator=own)
        with eval_mode(self.network):
            labels = [self.network(part["image"].to(device)).argmax(1, keepdim=True).byte().cpu() for part in loader]
        return torch.cat(labels)
