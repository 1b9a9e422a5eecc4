# SPDX-License-Identifier: Apache-2.0
"""Warns where a model is judged by images that its weights were trained on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from monai_cl_ext.distributed import on_first_process
from monai_cl_ext.handlers.data_part import files_and_patients
from monai_cl_ext.names import first_names
from monai_cl_ext.networks.weight_notes import WeightFiles, images_noted_in, weight_files


class SeenImagesWarning:
    """Warns, when a run starts, of images that it validates or scores and that weights were trained on.

    It knows them by the marks that ``SaveWeights`` notes in its files, also under another name; of weights without
    such notes, which other programs wrote, it knows nothing. The first process looks and warns.

    Args:
        weights: file or files of the weights that the run begins with or evaluates; empty ones are none.
        data: dataset of what is validated or scored, with ``files`` as ``data.SliceDataset`` or with ``data``, a list
            of cases; or such a list.
    """

    def __init__(self, weights: WeightFiles, data: Any) -> None:
        self.weights = weight_files(weights)
        self.data = data

    def attach(self, engine: Engine) -> None:
        """Looks when the engine starts."""
        engine.add_event_handler(Events.STARTED, self._warn)

    @on_first_process
    def _warn(self, engine: Engine) -> None:
        from monai_cl_ext.data.image_marks import image_marks  # not above: training needs none of what reads data

        noted = images_noted_in(self.weights)
        files, patients = files_and_patients(self.data)
        names = patients if len(patients) == len(files) else [Path(file).name for file in files]
        marks = image_marks(files) if noted else {}
        seen = [name for file, name in zip(files, names, strict=True) if marks.get(file) in noted]
        if seen:
            warnings.warn(
                f"{', '.join(self.weights)}: trained on {len(seen)} of the {len(files)} "
                f"images that are validated or scored here, of {first_names(map(repr, dict.fromkeys(seen)))}, so their "
                "scores are too good. Where that is not meant, train again with one split for all stages (the same "
                "validation_patients, test_patients, split_seed and options of cases), and remove copies of images",
                stacklevel=2,
            )
