# SPDX-License-Identifier: Apache-2.0
"""Handlers: seeds of an epoch, resume, weights, and the guard against a loss that is not finite."""

from .epoch_seed import EpochSeed
from .finite_loss import FiniteLoss
from .resume import Resume
from .save_weights import SaveWeights

__all__ = ["EpochSeed", "FiniteLoss", "Resume", "SaveWeights"]
