# SPDX-License-Identifier: Apache-2.0
"""Scores every volume that an evaluator segments and writes one row per volume and class."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import affine_to_spacing

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.csv_files import write_rows
from monai_cl_ext.data.alignment import on_image_grid
from monai_cl_ext.distributed import failing_together, gather_objects, on_first_process, world_size
from monai_cl_ext.handlers.class_names import refuse_reserved
from monai_cl_ext.handlers.evaluated_volumes import file_name, label_map, volume_names
from monai_cl_ext.metrics.metric import SEGMENTATION
from monai_cl_ext.metrics.segmentation import segmentation_scores

logger = logging.getLogger(__name__)


Rows = list[dict[str, float]]
"""Scores of one volume, a dictionary for each class; ``missed`` is 1 where one of the two masks is empty."""

COLUMNS = (*SEGMENTATION, "missed")


class SegmentationScoresHandler:
    """Ignite handler: :func:`segmentation_scores` of every volume, a CSV file, and means in ``state.metrics``.

    Attach it to an evaluator whose output is a list of dictionaries (MONAI's ``decollate=True``) with the label maps
    ``"pred"`` and ``"label"``, (1, *S); a label on another grid is brought to the prediction's, see
    :func:`~monai_cl_ext.data.alignment.on_image_grid`: invert the transforms of the prediction and take its argmax in
    ``postprocessing``. The volume's name is its file's, from the meta data of image, label or prediction. Put the
    handler before those that log: the metrics are there when the epoch completes.

    The file has the columns volume, class, dice, jaccard, hd95, asd, missed; ``nan`` where both masks are empty, 1
    under missed where one of them is. The metrics are ``dice_mean``, ``jaccard_mean``, ``hd95_mean``, ``asd_mean``
    (nan left out; mean over the classes of each volume, then over volumes), ``dice_<class>`` (mean over volumes),
    ``missed`` and ``absent`` (rows with one empty mask, with two). Over several processes the rows of all are
    gathered; a volume that padding made occur twice counts once.

    Args:
        output: path of the CSV file; written whole or not at all, by the first process.
        num_classes: number of classes, background included.
        class_names: names of classes 1, 2, ...; their numbers when None.
        use_spacing: distances in the unit of the affine (mm); otherwise in voxels, for data whose spacing is unknown.
        output_transform: takes ``engine.state.output`` to the list of dictionaries.

    Raises:
        ValueError: when an argument does not fit; while running, when a volume has no file name, a channel axis that is
            not 1, no affine although ``use_spacing`` asks for it, or scores cannot be computed. The message names it.
            Of several processes all raise it, at the end of the epoch.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        num_classes: int,
        class_names: Sequence[str] | None = None,
        use_spacing: bool = True,
        output_transform: Callable[[Any], Any] = lambda output: output,
    ) -> None:
        self.output = Path(output)
        self.num_classes = positive_integer("num_classes", num_classes)
        numbers = [str(label) for label in range(1, num_classes)]
        self.class_names = numbers if class_names is None else list(class_names)
        if len(self.class_names) != num_classes - 1:
            raise ValueError(
                f"class_names must name the {num_classes - 1} classes without background, found {self.class_names}"
            )
        refuse_reserved(self.class_names)
        self.use_spacing = use_spacing
        self.output_transform = output_transform
        self.rows: dict[str, Rows] = {}
        self.error: Exception | None = None

    def attach(self, engine: Engine) -> None:
        """Starts afresh at each epoch, scores after each iteration, and ends with the epoch.

        Args:
            engine: the evaluator.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._score_or_note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._summarize)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self, engine: Engine) -> None:
        self.rows.clear()
        self.error = None

    def _score_or_note(self, engine: Engine) -> None:
        """Scores; of several processes, one that cannot waits with its error for the end, where they meet."""
        try:
            self._score(engine)
        except Exception as error:
            if world_size() == 1:
                raise
            self.error = self.error or error

    def _score(self, engine: Engine) -> None:
        items = self.output_transform(engine.state.output)
        if not isinstance(items, Sequence) or not all(isinstance(item, Mapping) for item in items):
            raise ValueError(
                "SegmentationScoresHandler needs a list of dictionaries, one for each volume: set decollate=True in the"
                f" evaluator, or give output_transform; found {type(items).__name__}"
            )
        for item in items:
            name = file_name(item)
            try:
                self.rows[name] = self._rows_of(item)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error

    def _rows_of(self, item: Mapping[str, Any]) -> Rows:
        pair = item
        if isinstance(item.get("pred"), MetaTensor) and isinstance(item.get("label"), MetaTensor):
            names = [item[key].meta.get("filename_or_obj") or key for key in ("label", "pred")]
            pair = {**item, "label": on_image_grid(item["label"], item["pred"], *names)}
        prediction, reference = label_map(pair, "pred"), label_map(pair, "label")
        scores = segmentation_scores(prediction, reference, self.num_classes, self._spacing(pair["label"]))
        columns = {name: values.tolist() for name, values in scores.items()}
        columns["missed"] = [
            float(first != second)
            for first, second in zip(
                _present(prediction, self.num_classes), _present(reference, self.num_classes), strict=True
            )
        ]
        return [{name: columns[name][index] for name in COLUMNS} for index in range(len(self.class_names))]

    def _spacing(self, label: Any) -> list[float] | None:
        if not self.use_spacing:
            return None
        if not isinstance(label, MetaTensor):
            raise ValueError(
                f"label has no affine ({type(label).__name__}): keep MetaTensors, or set use_spacing=False"
            )
        return [float(step) for step in affine_to_spacing(label.affine, r=label.ndim - 1)]

    def _summarize(self, engine: Engine) -> None:
        with failing_together():
            if self.error is not None:
                raise self.error
        gathered: dict[str, Rows] = {}
        for rows in gather_objects(self.rows):
            gathered.update(rows)
        if not gathered:
            raise ValueError("SegmentationScoresHandler saw no volume: the evaluator's data are empty")
        self.rows = dict(sorted(gathered.items()))
        metrics = engine.state.metrics
        for score in SEGMENTATION:
            metrics[f"{score}_mean"] = _mean([_mean([row[score] for row in rows]) for rows in self.rows.values()])
        for index, name in enumerate(self.class_names):
            metrics[f"dice_{name}"] = _mean([rows[index]["dice"] for rows in self.rows.values()])
        every = [row for rows in self.rows.values() for row in rows]
        metrics["missed"] = int(sum(row["missed"] for row in every))
        metrics["absent"] = sum(math.isnan(row["dice"]) for row in every)

    @on_first_process
    def _write(self, engine: Engine) -> None:
        table: list[tuple[Any, ...]] = [("volume", "class", *COLUMNS)]
        for volume, rows in zip(volume_names(list(self.rows)), self.rows.values(), strict=True):
            for label, row in zip(self.class_names, rows, strict=True):
                table.append((volume, label, *(row[score] for score in SEGMENTATION), int(row["missed"])))
        write_rows(self.output, table)
        logger.info("%s: scores of %d volumes written", self.output, len(self.rows))


def _present(labels: torch.Tensor, num_classes: int) -> list[bool]:
    counts = torch.bincount(labels.flatten().long(), minlength=num_classes)
    return (counts[1:] > 0).tolist()


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return sum(finite) / len(finite) if finite else math.nan
