# SPDX-License-Identifier: Apache-2.0
"""The predictions of images without known class as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_cl_ext.csv_files import write_rows
from monai_cl_ext.handlers.class_names import refuse_reserved


class PredictionTable:
    """A CSV file with the columns image and each class, for the argument ``saver`` of MONAI's ``ClassificationSaver``.

    Unlike MONAI's ``CSVSaver`` it writes a header, and names may hold commas.

    Args:
        path: of the file, which is overwritten; its folder is made when missing.
        class_names: in the order of the probabilities.

    Raises:
        ValueError: when a class is called as a fixed column or row of the tables of predictions and scores.
    """

    def __init__(self, path: str | os.PathLike[str], class_names: Sequence[str]) -> None:
        self.path = Path(path)
        self.class_names = [str(name) for name in class_names]
        refuse_reserved(self.class_names)
        self.rows: list[list[Any]] = []

    def save_batch(self, batch_data: Tensor, meta_data: Mapping[str, Sequence[str]]) -> None:
        """Keeps probabilities (B, C) with the files ``filename_or_obj`` of the images.

        Raises:
            ValueError: when C is not the number of classes.
        """
        if batch_data.shape[1:] != (len(self.class_names),):
            raise ValueError(
                f"class_names: found {len(self.class_names)} for {tuple(batch_data.shape[1:])} probabilities an image;"
                " give those of the weights"
            )
        pairs = zip(meta_data["filename_or_obj"], batch_data.tolist(), strict=True)
        self.rows += [[file, *row] for file, row in pairs]

    def finalize(self) -> None:
        """Writes the file, and starts afresh."""
        write_rows(self.path, [["image", *self.class_names], *self.rows])
        self.rows = []
