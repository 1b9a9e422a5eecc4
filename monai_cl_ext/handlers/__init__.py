# SPDX-License-Identifier: Apache-2.0
"""Handlers: seeds of an epoch, schedules, resume, weights and class names, buffers, the record of a run, guards."""

from .class_names import CheckClassNames, SaveClassNames
from .clip_each_gradient import ClipEachGradient
from .drop_gradients import DropGradients
from .epoch_seed import EpochSeed
from .finite_loss import FiniteLoss
from .resume import Resume
from .run_record import RunRecord
from .save_weights import SaveWeights
from .schedules import cosine_value
from .sync_buffers import SyncBuffers

__all__ = [
    "CheckClassNames",
    "ClipEachGradient",
    "DropGradients",
    "EpochSeed",
    "FiniteLoss",
    "Resume",
    "RunRecord",
    "SaveClassNames",
    "SaveWeights",
    "SyncBuffers",
    "cosine_value",
]
