# SPDX-License-Identifier: Apache-2.0
"""Warns of a pre-training whose embeddings become alike, and says what most often causes it."""

from __future__ import annotations

import warnings

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_cl_ext.distributed import rank
from monai_cl_ext.engines.batch_record import first_rows

PROJECTION_STD, TEACHER_ENTROPY = "projection_std", "teacher_entropy"
RANGES = {PROJECTION_STD: (0.1, float("inf")), TEACHER_ENTROPY: (0.01, 0.99)}
MEANINGS = {
    PROJECTION_STD: "1: projections point in all directions; 0: those of all images are the same",
    TEACHER_ENTROPY: "1: all outputs are equally likely; 0: each image has a single output",
}
FIRST_BATCHES, MOST_POSITIVE = 10, 0.8  # positions of slices make 0.19 (CHD) and 0.58 (ACDC) of PCL's pairs positive


class CollapseWarning:
    """Warns, once for each, of projections or of a teacher's outputs that were degenerate several times in a row.

    At the start it warns of batches whose pairs are nearly all positive, so that a collapse would fulfill the loss: the
    first ten, of a method that names its pairs and can collapse.

    It watches the metric "projection_std" of each validation (``metrics.EmbeddingSpread``, below 0.1) and the mean over
    an epoch of the part "teacher_entropy" of the losses, where there is one (below 0.01 or above 0.99). What an epoch
    adds up stays on the device until its end. Over several processes the first one judges and warns, the entropy by its
    own rows.

    Args:
        evaluator: of the embeddings, with the metric.
        causes: what to name as the likely ones, such as ``method.collapse_causes``; None watches nothing.
        patience: epochs or validations in a row.
    """

    def __init__(self, evaluator: Engine, causes: str | None, patience: int = 3) -> None:
        self.evaluator = evaluator
        self.causes = causes
        self.patience = patience
        self.in_a_row: dict[str, int] = {}
        self.warned: set[str] = set()
        self.entropies: list[Tensor] = []
        self.pairs: list[Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Watches a trainer, and its evaluator."""
        if self.causes is None:
            return
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.ITERATION_COMPLETED(before=FIRST_BATCHES + 1), self._count_pairs)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _collect(self, engine: Engine) -> None:
        losses = engine.state.output[0]
        if TEACHER_ENTROPY in losses:
            self.entropies.append(losses[TEACHER_ENTROPY])

    def _count_pairs(self, engine: Engine) -> None:
        """Counts the positive and the negative pairs of the first batches, and judges them after the last of these."""
        pairs = engine.method.pairs(*first_rows(engine)) if getattr(engine.state, "views", None) else None
        if pairs is None:
            return
        self.pairs.append(torch.stack([pair.sum() for pair in pairs]))
        if engine.state.iteration != min(FIRST_BATCHES, engine.state.epoch_length):
            return
        positive, negative = torch.stack(self.pairs).sum(dim=0).tolist()
        if rank() == 0 and positive > MOST_POSITIVE * (positive + negative):
            warnings.warn(
                f"{positive / (positive + negative):.0%} of the pairs in the first {len(self.pairs)} batches are "
                f"positive, expected at most {MOST_POSITIVE:.0%}: nearly all rows lie at one place, or in one "
                "partition, of their volumes, which leaves little to tell apart. Of 3D patches lower image_size to "
                "half of the shortest volume along each axis (python -m monai_cl_ext check suggests one); of slices "
                "lower threshold, or raise partitions, as the method has it",
                stacklevel=2,
            )

    def _epoch_completed(self, engine: Engine) -> None:
        if self.entropies:
            self._judge(TEACHER_ENTROPY, torch.stack(self.entropies).mean().item())
            self.entropies = []

    def _validated(self, engine: Engine) -> None:
        if PROJECTION_STD in engine.state.metrics:
            self._judge(PROJECTION_STD, engine.state.metrics[PROJECTION_STD])

    def _judge(self, name: str, value: float) -> None:
        low, high = RANGES[name]
        self.in_a_row[name] = self.in_a_row.get(name, 0) + 1 if value < low or value > high else 0
        if rank() == 0 and name not in self.warned and self.in_a_row[name] == self.patience:
            self.warned.add(name)
            expected = f"at least {low}" if high == float("inf") else f"{low} to {high}"
            warnings.warn(
                f"the representation collapses: {name} is {value:.3g}, out of range {self.patience} times in a row,"
                f" expected {expected} ({MEANINGS[name]}). Likely causes: {self.causes}",
                stacklevel=2,
            )
