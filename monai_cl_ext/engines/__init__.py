# SPDX-License-Identifier: Apache-2.0
"""Engines: a thin MONAI trainer that drives every method, an evaluator that embeds held-out slices, schedules."""

from .embedding import EmbeddingEvaluator
from .method_trainer import MethodTrainer
from .schedules import cosine_value, phased_cosine, ramp_up_value

__all__ = ["EmbeddingEvaluator", "MethodTrainer", "cosine_value", "phased_cosine", "ramp_up_value"]
