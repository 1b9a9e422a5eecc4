# SPDX-License-Identifier: Apache-2.0
"""Handlers: seeds of an epoch, resume, weights, buffers, the record of a run, and the guard of a finite loss."""

from .clip_each_gradient import ClipEachGradient
from .drop_gradients import DropGradients
from .epoch_seed import EpochSeed
from .finite_loss import FiniteLoss
from .loss_output import LossOutput
from .resume import Resume
from .run_record import RunRecord
from .save_weights import SaveWeights
from .schedules import cosine_value
from .sync_buffers import SyncBuffers

__all__ = [
    "ClipEachGradient",
    "DropGradients",
    "EpochSeed",
    "FiniteLoss",
    "LossOutput",
    "Resume",
    "RunRecord",
    "SaveWeights",
    "SyncBuffers",
    "cosine_value",
]
