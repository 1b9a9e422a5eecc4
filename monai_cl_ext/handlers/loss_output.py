# SPDX-License-Identifier: Apache-2.0
"""Leaves of an iteration's output the loss alone, on its device."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines.utils import IterationEvents


class LossOutput:
    """Makes ``engine.state.output`` of a ``SupervisedTrainer`` the ``[{"loss": ...}]`` that loggers expect.

    With ``decollate=True`` MONAI makes lists of images, labels and predictions and waits for the loss at every
    iteration; with ``decollate=False`` alone MLflow tracking fails on the dictionary.
    """

    def attach(self, engine: Engine) -> None:
        """Acts when an iteration's model update is done."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Replaces the output now."""
        engine.state.output = [{"loss": engine.state.output["loss"].detach()}]
