# SPDX-License-Identifier: Apache-2.0
"""Engines: a thin MONAI trainer that drives a method, and an evaluator that embeds held-out slices."""

from .embedding import EmbeddingEvaluator
from .pretrain import PretrainTrainer

__all__ = ["EmbeddingEvaluator", "PretrainTrainer"]
