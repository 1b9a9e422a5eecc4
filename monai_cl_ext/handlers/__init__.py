# SPDX-License-Identifier: Apache-2.0
"""Handlers: seeds of an epoch, resume, weights, class names, buffers, guards, progress, trackers, records of a run."""

from .class_names import CheckClassNames, SaveClassNames
from .clip_each_gradient import ClipEachGradient
from .collapse_warning import CollapseWarning
from .drop_gradients import DropGradients
from .embedding_record import EmbeddingRecord
from .epoch_seed import EpochSeed
from .finite_loss import FiniteLoss
from .overlay_record import OverlayRecord
from .progress import Progress
from .resume import Resume
from .run_record import RunRecord
from .save_weights import SaveWeights
from .seen_images_warning import SeenImagesWarning
from .sync_buffers import SyncBuffers
from .track_wandb import TrackWandB

__all__ = [
    "CheckClassNames",
    "ClipEachGradient",
    "CollapseWarning",
    "DropGradients",
    "EmbeddingRecord",
    "EpochSeed",
    "FiniteLoss",
    "OverlayRecord",
    "Progress",
    "Resume",
    "RunRecord",
    "SaveClassNames",
    "SaveWeights",
    "SeenImagesWarning",
    "SyncBuffers",
    "TrackWandB",
]
