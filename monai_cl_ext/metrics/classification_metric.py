# SPDX-License-Identifier: Apache-2.0
"""Scores of classifications as Ignite metrics, for validation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from monai_cl_ext.arguments import one_of
from monai_cl_ext.metrics.classification import classification_scores
from monai_cl_ext.metrics.metric import CLASSIFICATION
from monai_cl_ext.metrics.row_metric import RowMetric


class ClassificationScore(RowMetric):
    """One of :func:`classification_scores` of all images of an epoch, over all processes.

    The output has the keys ``"probabilities"`` (B, C) and ``"class"`` (B,), or is a tuple of both.

    Args:
        score: "auroc", "aupr" or "accuracy".
        output_transform: takes ``engine.state.output`` to one of these.
    """

    required_output_keys = ("probabilities", "class")

    def __init__(self, score: str = "auroc", output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        self.score = one_of("score", score, CLASSIFICATION)
        super().__init__(output_transform)

    def value(self, *columns: Tensor) -> float:
        """The score, 0 to 1; nan, with a warning, where all images are of one class and the score needs two."""
        value = classification_scores(columns[0], columns[1])[self.score].item()
        if math.isnan(value):
            warnings.warn(
                f"{self.score} needs images of at least 2 classes, found 1, so it is nan and no epoch is the best: hold"
                " out more patients (validation_patients)",
                stacklevel=2,
            )
        return value
