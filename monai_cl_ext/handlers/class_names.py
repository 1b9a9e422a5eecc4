# SPDX-License-Identifier: Apache-2.0
"""Keeps the names of the classes beside a network's weights, and checks them where the weights are used."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Engine, Events

from monai_cl_ext.distributed import on_first_process
from monai_cl_ext.files import write_text

logger = logging.getLogger(__name__)

RESERVED = {"image": "column", "patient": "column", "class": "column", "all": "row", "mean": "score"}
"""What tables of predictions and scores hold besides the classes; no class has such a name."""


def refuse_reserved(class_names: Sequence[str]) -> None:
    """Raises ValueError for a class whose name the tables of predictions and scores use for something else."""
    for name in class_names:
        if name in RESERVED:
            raise ValueError(
                f"class {name!r}: predictions.csv and metrics.csv have a {RESERVED[name]} of this name; give the class"
                f" another one, such as '{name}_', by renaming its folder, or its label in the table or in dataset.json"
            )


class _ClassNames(ABC):
    """The names of the classes in the order of the outputs, and their file; acts as a run starts."""

    def __init__(self, class_names: Sequence[str], path: str) -> None:
        self.class_names = [str(name) for name in class_names]
        refuse_reserved(self.class_names)
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Acts on STARTED."""
        engine.add_event_handler(Events.STARTED, self)

    @abstractmethod
    def __call__(self, engine: Engine) -> None:
        """Acts now."""


class SaveClassNames(_ClassNames):
    """Writes the names of the classes in the order of a classifier's outputs, as a list in a JSON file.

    Weights do not know what their outputs mean; whoever serves them reads this file. The first process writes it as the
    run starts.

    Args:
        class_names: in the order of the outputs.
        path: file to write; its folder is made when missing.

    Raises:
        ValueError: when a class has a reserved name (image, patient, class, all, mean).
    """

    @on_first_process
    def __call__(self, engine: Engine) -> None:
        """Writes now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.class_names))


class CheckClassNames(_ClassNames):
    """Stops a run whose classes are not those of the weights, as :class:`SaveClassNames` wrote them.

    Other data may have as many classes under other names; the weights would load, and every score would be wrong.

    Args:
        class_names: of the data, in their order.
        path: the file beside the weights. Where there is none a warning is logged.

    Raises:
        ValueError: when a class has a reserved name; as the run starts, when the names or their order differ.
    """

    def __call__(self, engine: Engine) -> None:
        """Checks now."""
        if not self.path.is_file():
            logger.warning("%s: found no such file; the order of the classes is not checked", self.path)
            return
        names = json.loads(self.path.read_text(encoding="utf-8"))
        if names != self.class_names:
            raise ValueError(
                f"{self.path}: the weights tell {names}, the data have {self.class_names}: give the data of the"
                " training as dataset_dir, and others to be tested as test_dir"
            )
