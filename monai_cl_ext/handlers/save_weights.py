# SPDX-License-Identifier: Apache-2.0
"""Writes a network's bare state_dict: when a run completes, or when the key metric is the best so far."""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Workflow
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of
from monai_cl_ext.distributed import on_first_process
from monai_cl_ext.files import save_tensors
from monai_cl_ext.handlers.data_part import files_and_patients
from monai_cl_ext.networks.weight_notes import (
    WeightFiles,
    images_noted_in,
    note_trained_axes,
    note_trained_blocks,
    note_trained_images,
)

NO_SCORE = (
    "no label of the validation volumes holds a class, so no epoch is better than another and the weights of the first "
    "are kept; validate on other patients"
)


class SaveWeights:
    """Writes the weights atomically, on the first process, and only finite ones.

    MONAI's CheckpointSaver also writes "final" weights when a run breaks off, and forgets the best metric of an
    interrupted run; here a file of final weights means a completed run, and the best metric lives in the engine's
    state, which ``Resume`` keeps.

    Args:
        network: the network whose ``state_dict`` is written, not its DistributedDataParallel wrapper.
        path: file to write; its folder is made when missing.
        when: "completed" (attach to a trainer) or "best" (attach to an evaluator with a key metric).
        blocks: decoder blocks that were pre-trained, noted in the file for ``networks.load_pretrained(blocks=None)``.
        data: dataset that is trained on, with ``files`` as ``data.SliceDataset`` or with ``data``, a list of cases:
            hashes that mark its images are noted in the file for ``SeenImagesWarning``, its ``axes`` for ``predict``.
        start: file or files of weights that the training began with, whose marks are noted too; empty ones are none.
        evaluator: with "completed" into the file of the best weights, the evaluator that writes them. The final ones
            are written only where it had no epoch to compare, as without validation data: what lies there is older.

    Raises:
        FloatingPointError: on saving, when a weight is NaN or infinite; the file is as it was.
        OSError: on saving, when the file cannot be written; it is as it was. Of several processes all raise what the
            first, which writes, has raised.
    """

    def __init__(
        self,
        network: nn.Module,
        path: str,
        when: str = "completed",
        blocks: int = 0,
        data: Any = None,
        start: WeightFiles = None,
        evaluator: Workflow | None = None,
    ) -> None:
        self.network = network
        self.path = Path(path)
        self.when = one_of("when", when, ("completed", "best"))
        self.blocks = blocks
        self.data = data
        self.marks: list[str] | None = None
        self.start = start
        self.evaluator = evaluator
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Writes on COMPLETED, or at the end of each epoch of an evaluator that found a new best metric."""
        engine.add_event_handler(Events.STARTED, self._note_images)
        if self.when == "completed":
            engine.add_event_handler(Events.COMPLETED, self.save)
        else:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.save_best)

    @on_first_process
    def save_best(self, engine: Engine) -> None:
        """Writes when the engine's best metric is of this epoch; warns when there is none, which MONAI calls 0."""
        if engine.state.best_metric_epoch == engine.state.epoch:
            details = getattr(engine.state, "metric_details", {}).get(engine.state.key_metric_name)
            if isinstance(details, Tensor) and details.isnan().all():
                warnings.warn(NO_SCORE, stacklevel=2)
            self._write()

    @on_first_process
    def save(self, engine: Engine) -> None:
        """Writes the weights now, unless an evaluator has chosen better ones; every process has to call it."""
        if self.evaluator is None or self.evaluator.state.best_metric_epoch < 1:
            self._write()

    @on_first_process
    def _note_images(self, engine: Engine) -> None:
        """Once, when the engine starts: what is missing is told before the training, and its start is as it was."""
        if self.data is None or self.marks is not None:
            return
        from monai_cl_ext.data.image_marks import image_marks  # not above: training needs none of what reads data

        files, _ = files_and_patients(self.data)
        marks = image_marks(files)
        if len(marks) < len({*files}):
            self.logger.warning(
                "%d image(s) cannot be read, so %s will not know them", len({*files}) - len(marks), self.path
            )
        self.marks = sorted({*marks.values(), *images_noted_in(self.start)})

    def _write(self) -> None:
        weights = self.network.state_dict()
        if not hasattr(weights, "__dict__"):  # a plain one of the network's own, to which no note can be added
            weights = OrderedDict(weights)
        if self.blocks:
            note_trained_blocks(weights, self.blocks)
        if self.marks:
            note_trained_images(weights, self.marks)
        if axes := sorted({*getattr(self.data, "axes", ())} - {""}):
            note_trained_axes(weights, axes)
        save_tensors(self.path, weights)
        self.logger.info("wrote %s", self.path)
