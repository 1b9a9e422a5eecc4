# SPDX-License-Identifier: Apache-2.0
"""Engines: a thin MONAI trainer that drives every method, and an evaluator that embeds held-out slices."""

from .embedding import EmbeddingEvaluator
from .method_trainer import MethodTrainer

__all__ = ["EmbeddingEvaluator", "MethodTrainer"]
