# SPDX-License-Identifier: Apache-2.0
"""Makes batches, views and dropout pure functions of (seed, rank, epoch, iteration)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from monai_cl_ext.distributed import rank
from monai_cl_ext.seeds import mix_seed


class EpochSeed:
    """Seeds every source of randomness when an epoch starts, so that a resumed run repeats an uninterrupted one.

    Torch (all devices), NumPy and Python are seeded by (seed, rank, epoch). What draws from a generator of its own
    (``PartitionBatchSampler``, ``PrepareViews``) is told the epoch by ``set_epoch``; a torch sampler without one draws
    from the generator seeded here.

    Args:
        seed: the run's seed.
        targets: samplers and views of the run.
    """

    def __init__(self, seed: int, targets: Sequence[Any] = ()) -> None:
        self.seed = int(seed)
        self.targets = [target for target in targets if hasattr(target, "set_epoch")]

    def attach(self, engine: Engine) -> None:
        """Seeds before the first batch of each epoch is drawn."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seeds for the epoch that starts."""
        seed = mix_seed(self.seed, rank(), engine.state.epoch)
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        if getattr(engine.state.dataloader, "_iterator", None) is not None:
            torch.empty((), dtype=torch.int64).random_()  # persistent workers: a new iterator would draw this number
        for target in self.targets:
            target.set_epoch(engine.state.epoch)
