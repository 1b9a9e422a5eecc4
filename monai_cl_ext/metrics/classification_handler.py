# SPDX-License-Identifier: Apache-2.0
"""Scores what an evaluator classifies, and writes a row for each image and for each score."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_cl_ext.csv_files import write_rows
from monai_cl_ext.data import PictureDataset
from monai_cl_ext.distributed import gather_objects, on_first_process
from monai_cl_ext.handlers.class_names import refuse_reserved
from monai_cl_ext.metrics.classification import bootstrap_intervals, classification_scores
from monai_cl_ext.metrics.metric import CLASSIFICATION
from monai_cl_ext.metrics.nearest_neighbors import NearestNeighbors
from monai_cl_ext.numerics import probabilities

logger = logging.getLogger(__name__)

NETWORK, NEIGHBORS = "network", "nearest_neighbors"


class ClassificationScoresHandler:
    """Ignite handler: :func:`classification_scores` with intervals over patients, as CSV files and metrics.

    Attach it to an evaluator with ``decollate=False`` whose output has the logits ``"pred"`` (B, C) and the images
    ``"image"``, and whose data come in a fixed order. Over several processes the images of all are scored.

    ``predictions.csv`` has a row for each image: image, patient, class and the probability of each class; those of the
    nearest neighbors are in ``predictions_nearest_neighbors.csv``. ``metrics.csv`` has the columns classifier
    ("network", "nearest_neighbors"), score ("auroc", "aupr", "accuracy"), class ("all", for AUROC and AUPR their mean
    over the classes, or a class), images (of that class), value, low and high. The evaluator's metrics are
    ``<classifier>_<score>``.

    Args:
        folder: of the files; made when missing.
        class_names: of the classes in their order.
        dataset: what the evaluator reads; it knows file, patient and class of each image.
        neighbors: also classifies by nearest neighbors.
        trained_on: files of images that the network has seen; none of them may be tested.
        level, resamples, seed: of the intervals, see :func:`bootstrap_intervals`.

    Raises:
        ValueError: when an image that was trained on is tested, or a class has a reserved name (image, patient, class,
            all, mean); while running, when the evaluator did not read every image of the data set, or scores cannot be
            computed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        class_names: Sequence[str],
        dataset: PictureDataset,
        neighbors: NearestNeighbors | None = None,
        trained_on: Sequence[str] = (),
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> None:
        self.folder = Path(folder)
        self.class_names = list(class_names)
        refuse_reserved(self.class_names)
        self.dataset = dataset
        self.neighbors = neighbors
        self.level, self.resamples, self.seed = level, resamples, seed
        self.parts: dict[str, list[Tensor]] = {}
        self.probabilities: dict[str, Tensor] = {}
        shared = set(map(os.path.realpath, dataset.files)).intersection(map(os.path.realpath, trained_on))
        if shared:
            raise ValueError(
                f"{len(shared)} images are both tested and used in training, such as {min(shared)}: test on other"
                " images"
            )

    def attach(self, engine: Engine) -> None:
        """Starts afresh at each epoch, keeps the probabilities of each iteration, and ends with the epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._summarize)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self, engine: Engine) -> None:
        self.parts = {name: [] for name in ([NETWORK, NEIGHBORS] if self.neighbors else [NETWORK])}
        if self.neighbors is not None:
            self.neighbors.fit(engine.state.device)

    def _collect(self, engine: Engine) -> None:
        output = engine.state.output
        self.parts[NETWORK].append(probabilities(output["pred"].detach()))
        if self.neighbors is not None:
            self.parts[NEIGHBORS].append(self.neighbors(output["image"]))

    def _summarize(self, engine: Engine) -> None:
        order = list(chain.from_iterable(engine.state.dataloader.batch_sampler))
        own = {name: torch.cat(parts).cpu() for name, parts in self.parts.items() if parts}
        gathered = [(order[: len(part[NETWORK])], part) for order, part in gather_objects((order, own)) if part]
        images = [index for indices, _ in gathered for index in indices]
        if len(set(images)) < len(self.dataset):
            raise ValueError(
                f"the evaluator read {len(set(images))} of the data set's {len(self.dataset)} images, expected all of"
                " them: take a loader without drop_last or a sampler of a part, or give a data set of that part"
            )
        for name in self.parts:
            rows = torch.cat([part[name] for _, part in gathered])
            self.probabilities[name] = rows.new_empty(len(self.dataset), rows.shape[1]).index_copy(
                0, torch.tensor(images), rows
            )
            scores = classification_scores(self.probabilities[name], self.dataset.label)
            engine.state.metrics |= {f"{name}_{score}": scores[score].item() for score in CLASSIFICATION}

    def _scored(self, name: str) -> list[list[Any]]:
        """The rows of metrics.csv of one classifier."""
        found, classes = self.probabilities[name], self.dataset.label
        scores = classification_scores(found, classes, each=True)
        patients = self.dataset.volume.tolist()
        limits = bootstrap_intervals(found, classes, patients, self.level, self.resamples, self.seed)
        table: list[list[Any]] = []
        for score in CLASSIFICATION:
            value, (low, high) = scores[score].item(), limits[score]
            table.append([name, score, "all", len(classes), value, low.item(), high.item()])
            logger.info("%s %s: %.4f (%g %% interval %.4f to %.4f)", name, score, value, 100 * self.level, low, high)
        for score in ("auroc", "aupr"):
            columns = [column.tolist() for column in (scores[f"{score}_each"], *limits[f"{score}_each"])]
            for label, row in enumerate(zip(*columns, strict=True)):
                table.append([name, score, self.class_names[label], int((classes == label).sum()), *row])
        return table

    @on_first_process
    def _write(self, engine: Engine) -> None:
        header = ["classifier", "score", "class", "images", "value", "low", "high"]
        write_rows(self.folder / "metrics.csv", [header, *chain.from_iterable(map(self._scored, self.probabilities))])
        patients = [self.dataset.patients[number] for number in self.dataset.volume.tolist()]
        names = [self.class_names[label] for label in self.dataset.label.tolist()]
        header = ["image", "patient", "class", *self.class_names]
        for name, rows in self.probabilities.items():
            facts = zip(self.dataset.files, patients, names, rows.tolist(), strict=True)
            lines = [[file, patient, label, *row] for file, patient, label, row in facts]
            suffix = "" if name == NETWORK else f"_{name}"
            write_rows(self.folder / f"predictions{suffix}.csv", [header, *lines])
        logger.info("%s: predictions and scores of %d images written", self.folder, len(self.dataset))
