# SPDX-License-Identifier: Apache-2.0
"""Metrics of embeddings for pre-training: what they know about the partition, and whether they collapse."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.data.meta_tensor import MetaTensor
from monai.metrics import EmbeddingCollapseMetric
from torch import Tensor
from torch.nn.functional import normalize

from monai_cl_ext.distributed import gather_objects, world_size


class EmbeddingMetric(Metric):
    """Ignite metric of all rows of an epoch; rows wait on their device and go to the host once, at the end.

    The output that an update takes is one of: a tuple of batched tensors in the order of ``required_output_keys`` (a
    single tensor where there is one key), the same with lists of a sample's tensors, a dictionary with those keys, or
    a list of such dictionaries, one for each sample (MONAI's ``decollate=True``). Over several processes the rows of
    all are used. Where an embedding is not finite the metric is nan.

    Args:
        output_transform: takes ``engine.state.output`` to one of these, for example
            ``monai.handlers.from_engine(["pred", "partition", "volume"])``.
    """

    required_output_keys: tuple[str, ...] = ()

    def __init__(self, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__(output_transform)

    def reset(self) -> None:
        """Forgets all rows."""
        self._rows: list[tuple[Tensor, ...]] = []

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        """Updates with the engine's output; Ignite's own way of unrolling lists knows pairs only."""
        self.update(self._output_transform(engine.state.output))

    def update(self, output: Any) -> None:
        """Keeps the rows of one iteration.

        Args:
            output: see the class.

        Raises:
            ValueError: when a key is absent or the columns have not one row for each sample.
        """
        columns = tuple(_batched(column).detach() for column in self._columns(output))
        if columns[0].ndim != 2 or any(column.shape != columns[0].shape[:1] for column in columns[1:]):
            shapes = {key: tuple(c.shape) for key, c in zip(self.required_output_keys, columns, strict=True)}
            raise ValueError(f"{type(self).__name__} needs embeddings (B, D) and tags (B,), found {shapes}")
        self._rows.append(columns)

    def compute(self) -> float:
        """The metric of all rows since :meth:`reset`.

        Raises:
            NotComputableError: when there are no rows in any process.
        """
        columns = [torch.cat(column) for column in zip(*self._rows, strict=True)]
        if world_size() > 1:
            gathered = [rows for rows in gather_objects([column.cpu() for column in columns]) if rows]
            columns = [torch.cat(column) for column in zip(*gathered, strict=True)]
        if not columns:
            raise NotComputableError(f"{type(self).__name__} saw no embeddings: the evaluator's data are empty")
        if not torch.isfinite(columns[0]).all():
            return math.nan
        return self.value(*columns)

    @abstractmethod
    def value(self, *columns: Tensor) -> float:
        """The metric of all rows, one tensor for each of ``required_output_keys``."""

    def _columns(self, output: Any) -> Sequence[Any]:
        keys = self.required_output_keys
        if isinstance(output, Mapping):
            return [self._entry(output, key) for key in keys]
        if isinstance(output, Sequence) and output and isinstance(output[0], Mapping):
            return [[self._entry(item, key) for item in output] for key in keys]
        columns: Sequence[Any] = (output,) if len(keys) == 1 and not isinstance(output, tuple) else output
        if len(columns) != len(keys):
            raise ValueError(f"{type(self).__name__} needs {', '.join(keys)}, found {len(columns)} values")
        return columns

    def _entry(self, item: Mapping[str, Any], key: str) -> Any:
        if key not in item:
            needed = ", ".join(self.required_output_keys)
            raise ValueError(
                f"{type(self).__name__} needs {needed}, found an output with {sorted(item)}: give output_transform"
            )
        return item[key]


class PartitionProbe(EmbeddingMetric):
    """How well embeddings of held-out slices tell the partition: balanced accuracy of a nearest-centroid classifier.

    Rows are L2-normalized. A slice is given the partition whose centroid (the mean of the rows of that partition in all
    *other* volumes) has the greatest cosine similarity to it, the lowest number in a tie; so nothing of its own volume
    helps it. The metric is the mean over the partitions of the fraction of their slices that are given their own;
    1 / partitions is chance. Slices without a partition (-1) are left out, as are those whose partition no other volume
    has.

    The output has the keys ``"embeddings"`` (B, D), ``"partition"`` (B,) and ``"volume"`` (B,).
    """

    required_output_keys = ("embeddings", "partition", "volume")

    def value(self, *columns: Tensor) -> float:
        """Balanced accuracy, 0 to 1; nan, with a warning, for fewer than two volumes or two partitions."""
        embeddings, partition, volume = (column[columns[1] >= 0] for column in columns)
        volumes, own_volume = torch.unique(volume, return_inverse=True)
        partitions, own = torch.unique(partition, return_inverse=True)
        if len(volumes) < 2 or len(partitions) < 2:
            remedy = (
                "the volumes are too short; of 3D patches, lower image_size or pixdim along the slice axis"
                if len(partitions) < 2
                else "hold out more volumes (validation_patients)"
            )
            warnings.warn(
                f"PartitionProbe needs slices of at least 2 volumes and 2 partitions, found {len(volumes)} volumes and"
                f" {len(partitions)} partitions, so it is nan: {remedy}",
                stacklevel=2,
            )
            return math.nan
        rows = normalize(embeddings.double(), dim=1)
        sums = rows.new_zeros(len(volumes), len(partitions), rows.shape[1])
        sums.index_put_((own_volume, own), rows, accumulate=True)
        counts = rows.new_zeros(len(volumes), len(partitions))
        counts.index_put_((own_volume, own), counts.new_ones(()), accumulate=True)
        known = (counts.sum(dim=0) - counts > 0)[own_volume]
        centroids = normalize(sums.sum(dim=0) - sums, dim=2)[own_volume]
        # rounded, so that collapsed embeddings tie, and score chance, instead of following the last bit
        similarity = torch.einsum("nd,npd->np", rows, centroids).round(decimals=12)
        correct = (similarity.masked_fill(~known, -math.inf).argmax(dim=1) == own).double()
        judged = known.gather(1, own[:, None])[:, 0].double()
        right, total = (counts.new_zeros(len(partitions)).index_add_(0, own, x) for x in (correct * judged, judged))
        return (right / total)[total > 0].mean().item()


class EmbeddingCollapse(EmbeddingMetric):
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


class EmbeddingSpread(EmbeddingMetric):
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
        (projections,) = (_batched(column).detach() for column in self._columns(output))
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


def _batched(column: Tensor | Sequence[Any]) -> Tensor:
    """One tensor with a row for each sample; collated or decollated, MetaTensor or not."""
    tensor = column if isinstance(column, Tensor) else torch.stack([torch.as_tensor(item) for item in column])
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
