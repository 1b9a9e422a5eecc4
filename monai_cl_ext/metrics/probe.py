# SPDX-License-Identifier: Apache-2.0
"""Metrics of embeddings for pre-training: what they know about the partition, and whether they collapse."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.metrics import EmbeddingCollapseMetric
from torch import Tensor
from torch.nn.functional import normalize

from monai_cl_ext.metrics.row_metric import RowMetric, batched


class PartitionProbe(RowMetric):
    """How well embeddings of held-out slices tell the partition: balanced accuracy of a nearest-centroid classifier.

    Rows are L2-normalized. A slice is given the partition whose centroid (the mean of the rows of that partition of all
    *other* patients) has the greatest cosine similarity to it, the lowest number in a tie; so nothing of its own
    patient helps it. The metric is the mean over the partitions of the fraction of their slices that are given their
    own; 1 / partitions is chance. Slices without a partition (-1) are left out, as are those whose partition no other
    patient has.

    The output has the keys ``"embeddings"`` (B, D), ``"partition"`` (B,) and ``"volume"`` (B,).

    Args:
        output_transform: as in :class:`RowMetric`.
        patients: the patient of each volume by its number, such as ``data.SliceDataset.patients``; None takes each
            volume for that of another patient.
    """

    required_output_keys = ("embeddings", "partition", "volume")

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        patients: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(output_transform)
        number = {patient: place for place, patient in enumerate(dict.fromkeys(patients or ()))}
        self.patients = torch.tensor([number[patient] for patient in patients or ()], dtype=torch.int64)

    def value(self, *columns: Tensor) -> float:
        """Balanced accuracy, 0 to 1; nan, with a warning, for fewer than two patients or two partitions."""
        embeddings, partition, volume = (column[columns[1] >= 0] for column in columns)
        owner = self.patients.to(volume.device)[volume.long()] if len(self.patients) else volume
        found, own_patient = torch.unique(owner, return_inverse=True)
        partitions, own = torch.unique(partition, return_inverse=True)
        if len(found) < 2 or len(partitions) < 2:
            remedy = (
                "the volumes are too short; of 3D patches, lower image_size or pixdim along the slice axis"
                if len(partitions) < 2
                else "hold out more patients (validation_patients)"
            )
            warnings.warn(
                f"PartitionProbe needs slices of at least 2 patients and 2 partitions, found {len(found)} patients and"
                f" {len(partitions)} partitions, so it is nan: {remedy}",
                stacklevel=2,
            )
            return math.nan
        rows = normalize(embeddings.double(), dim=1)
        sums = rows.new_zeros(len(found), len(partitions), rows.shape[1])
        sums.index_put_((own_patient, own), rows, accumulate=True)
        counts = rows.new_zeros(len(found), len(partitions))
        counts.index_put_((own_patient, own), counts.new_ones(()), accumulate=True)
        known = (counts.sum(dim=0) - counts > 0)[own_patient]
        centroids = normalize(sums.sum(dim=0) - sums, dim=2)[own_patient]
        # rounded, so that collapsed embeddings tie, and score chance, instead of following the last bit
        similarity = torch.einsum("nd,npd->np", rows, centroids).round(decimals=12)
        correct = (similarity.masked_fill(~known, -math.inf).argmax(dim=1) == own).double()
        judged = known.gather(1, own[:, None])[:, 0].double()
        right, total = (counts.new_zeros(len(partitions)).index_add_(0, own, x) for x in (correct * judged, judged))
        return (right / total)[total > 0].mean().item()


class EmbeddingCollapse(RowMetric):
    """Dimensional collapse of the embeddings: MONAI's effective-rank score, 0 (none) to 1 (all rows alike).

    The one indicator of :class:`monai.metrics.EmbeddingCollapseMetric` that needs no labels: one minus the
    exponential of the singular values' entropy over the greatest possible rank (Roy & Vetterli 2007).

    The output has the key ``"embeddings"`` (B, D).
    """

    required_output_keys = ("embeddings",)

    def value(self, *columns: Tensor) -> float:
        """Effective-rank score, 0 to 1.

        Raises:
            ValueError: when there are fewer than two rows.
        """
        if len(columns[0]) < 2:
            raise ValueError("EmbeddingCollapse needs at least 2 embeddings, found 1: hold out more slices")
        scores = EmbeddingCollapseMetric(reduction="none", include_indicators=["effective_rank"])(columns[0])
        return scores["effective_rank_score"].item()


class EmbeddingSpread(RowMetric):
    """Standard deviation of L2-normalized projections over images, 1 where directions are even and 0 where all agree.

    The mean over dimensions of the standard deviation, times the square root of their number (Chen and He 2021,
    "SimSiam", figure 2). Of the projections, which a loss compares, since a head can collapse before the encoder does.

    The output has the key ``"projections"`` (B, D).
    """

    required_output_keys = ("projections",)

    def update(self, output: Any) -> None:
        """Adds up the rows of one iteration, of which only sums are kept: projections may be wide.

        Raises:
            ValueError: when projections are not (B, P).
        """
        (projections,) = (batched(column).detach() for column in self._columns(output))
        if projections.ndim != 2:
            raise ValueError(f"EmbeddingSpread needs projections (B, P), found {tuple(projections.shape)}")
        rows = normalize(projections.double(), dim=1)
        sums = rows.sum(dim=0, keepdim=True), rows.square().sum(dim=0, keepdim=True), rows.new_full((1,), len(rows))
        self._rows = [tuple(map(torch.add, self._rows[0], sums)) if self._rows else sums]

    def value(self, *columns: Tensor) -> float:
        """The scaled standard deviation, 0 to 1.

        Raises:
            ValueError: when there are fewer than two rows.
        """
        total, squares, count = (column.sum(dim=0) for column in columns)
        if count < 2:
            raise ValueError("EmbeddingSpread needs at least 2 projections, found 1: hold out more slices")
        variance = squares / count - (total / count).square()
        return variance.clamp_min(0).sqrt().mean().item() * math.sqrt(len(variance))
