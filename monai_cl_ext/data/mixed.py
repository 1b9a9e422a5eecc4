# SPDX-License-Identifier: Apache-2.0
"""Labeled and unlabeled slices or patches in one dataset, and batches that hold a fixed number of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from monai_cl_ext import distributed
from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.data.patches import PatchDataset
from monai_cl_ext.data.slices import SliceDataset

IGNORED = 255
"""Label of an unlabeled pixel, which losses are to ignore."""


class MixedSlices(Dataset[dict[str, Any]]):
    """Slices or patches with labels, followed by others without, whose label map is 255 everywhere.

    An item is that of :class:`SliceDataset` or :class:`PatchDataset`; volumes are counted on over both parts.
    Self-training puts predicted labels of slices in place of the ignored ones by :meth:`give_labels`.

    Args:
        labelled: slices or patches with "label".
        unlabelled: the same of other volumes; a label that they have is not shown.

    Attributes:
        volume, partition: of each row, as in the parts.
        files, patients: of each volume, those of the labeled part first.
        labelled_rows, unlabelled_rows: indices of the rows of each part.
        with_labels: as long as there are slices with a label, given or predicted, for a sampler of these alone; a
            ValueError where the rows are patches, whose labels cannot be predicted beforehand.

    Raises:
        ValueError: when the two differ in the size of their images or in what their items hold.
    """

    def __init__(self, labelled: SliceDataset | PatchDataset, unlabelled: SliceDataset | PatchDataset) -> None:
        first, second = labelled[0], unlabelled[0]
        found, expected = ({**item, "label": None}.keys() for item in (second, first))
        if found != expected or second["image"].shape != first["image"].shape:
            raise ValueError(
                f"unlabeled rows hold {sorted(found)} with images {tuple(second['image'].shape)} (C, *S), "
                f"labeled ones {sorted(expected)} with {tuple(first['image'].shape)}: prepare both alike"
            )
        self.labelled, self.unlabelled = labelled, unlabelled
        self.files = [*labelled.files, *unlabelled.files]
        self.patients = [*labelled.patients, *unlabelled.patients]
        self.axes = [*labelled.axes, *unlabelled.axes]
        self.labelled_rows = range(len(labelled))
        self.unlabelled_rows = range(len(labelled), len(labelled) + len(unlabelled))
        self._ignored = torch.full((1, *first["image"].shape[1:]), IGNORED, dtype=torch.uint8)
        self._predicted: Tensor | None = None
        self._round, self._last_round = 0, torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def volume(self) -> Tensor:
        """The volume of each row, int64 (rows,)."""
        return torch.cat([self.labelled.volume, self.unlabelled.volume + len(self.labelled.files)])

    @property
    def partition(self) -> Tensor:
        """The partition of each row, int64 (rows,)."""
        return torch.cat([self.labelled.partition, self.unlabelled.partition])

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose patches are served."""
        for part in (self.labelled, self.unlabelled):
            if isinstance(part, PatchDataset):
                part.set_epoch(epoch)

    def __len__(self) -> int:
        """Number of rows of both parts."""
        return self.unlabelled_rows.stop

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One row with its label or the ignored one.

        Raises:
            IndexError: when there is no such row.
            RuntimeError: in a worker of a loader that was started before the last labels were given, and has not them.
        """
        if self._round != int(self._last_round):
            raise RuntimeError(
                f"this worker of the DataLoader has the labels of round {self._round}, and those of round "
                f"{int(self._last_round)} were given since; set persistent_workers=False, so that each epoch starts "
                "workers of its own"
            )
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        if index < len(self.labelled):
            return self.labelled[index]
        index -= len(self.labelled)
        item = self.unlabelled[index]
        label = self._ignored if self._predicted is None else self._predicted[index]
        return {**item, "label": label.clone(), "volume": item["volume"] + len(self.labelled.files)}

    @property
    def with_labels(self) -> _WithLabels:
        """As long as there are slices with a label."""
        self._check_slices()
        return _WithLabels(self)

    def give_labels(self, label: Tensor) -> None:
        """Takes predicted classes (slices, 1, H, W) for all unlabeled slices, in place of earlier ones.

        Workers of a loader that run already, as with ``persistent_workers=True``, do not get them and stop.

        Raises:
            ValueError: when they do not fit the slices, or the rows are patches.
        """
        self._check_slices()
        expected = (len(self.unlabelled), *self._ignored.shape)
        if tuple(label.shape) != expected:
            raise ValueError(f"labels must have the shape {expected}, one a slice, found {tuple(label.shape)}")
        self._predicted = label.to("cpu", torch.uint8)
        self._round += 1
        self._last_round.fill_(self._round)

    @property
    def predicted(self) -> Tensor:
        """The predicted labels, uint8 (slices, 1, H, W); without rows before there are any."""
        return self._ignored.new_empty(0, *self._ignored.shape) if self._predicted is None else self._predicted

    def _check_slices(self) -> None:
        if isinstance(self.unlabelled, PatchDataset):
            raise ValueError(
                "predicted labels belong to slices that stay the same, found patches, which are others in each epoch; "
                "train with a method that predicts as it trains, such as EMASelfTraining (self_training_segmentation)"
            )


class _WithLabels(Sized):
    """The first slices of a dataset, those that have a label; their number grows when labels are predicted."""

    def __init__(self, dataset: MixedSlices) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return self.dataset.labelled_rows.stop + len(self.dataset.predicted)


class TwoStreamBatchSampler(Sampler[list[int]]):
    """Batches of some labeled rows, which come first, and some unlabeled ones.

    Each stream is a random permutation of its rows after another, without a break between epochs: every unlabeled row
    comes once a pass, and the labeled ones, which are fewer, are cycled. The batches are a pure function of (seed,
    epoch): call :meth:`set_epoch` before each epoch. The processes of a group share a step's rows; rank and number of
    processes are those of ``torch.distributed`` when iteration starts.

    Args:
        labelled, unlabelled: indices of the rows, such as ``MixedSlices.labelled_rows``.
        labelled_per_batch, unlabelled_per_batch: numbers of rows in a batch of this process.
        seed: of the permutations.
        batches_per_epoch: of this process; None is one pass over the unlabeled rows, rounded up.

    Raises:
        ValueError: when there are no rows of one kind, or a number is not a positive integer.
    """

    def __init__(
        self,
        labelled: Sequence[int],
        unlabelled: Sequence[int],
        labelled_per_batch: int,
        unlabelled_per_batch: int,
        seed: int = 0,
        *,
        batches_per_epoch: int | None = None,
    ) -> None:
        for name, rows in (("labelled", labelled), ("unlabelled", unlabelled)):
            if not len(rows):
                raise ValueError(f"{name} must hold at least one row, found none; check the split")
        self.rows = (labelled, unlabelled)
        self.sizes = [
            positive_integer("labelled_per_batch", labelled_per_batch),
            positive_integer("unlabelled_per_batch", unlabelled_per_batch),
        ]
        self.seed, self.epoch = int(seed), 0
        self.batches_per_epoch = batches_per_epoch
        if batches_per_epoch is not None:
            positive_integer("batches_per_epoch", batches_per_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches the next iteration gives."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        """Batches of this process in an epoch; the same in every process."""
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return -(-len(self.rows[1]) // (self.sizes[1] * distributed.world_size()))

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches of this process: labeled row indices, then unlabeled ones."""
        drawn = [self._drawn_in_epoch(stream) for stream in range(2)]
        for places in zip(*drawn, strict=True):
            yield [int(rows[place]) for rows, own in zip(self.rows, places, strict=True) for place in own]

    def _drawn_in_epoch(self, stream: int) -> np.ndarray:
        """Which rows of a stream each batch of this process takes, (batches, rows of a batch)."""
        rows, size = self.rows[stream], self.sizes[stream]
        step = size * distributed.world_size()
        begin = self.epoch * len(self) * step
        places = np.arange(begin, begin + len(self) * step)
        passes = range(places[0] // len(rows), places[-1] // len(rows) + 1)
        orders = {
            number: np.random.default_rng((self.seed, stream, number)).permutation(len(rows)) for number in passes
        }
        drawn = np.concatenate([orders[number] for number in passes])[places - passes[0] * len(rows)]
        own = distributed.rank() * size
        return drawn.reshape(len(self), step)[:, own : own + size]
