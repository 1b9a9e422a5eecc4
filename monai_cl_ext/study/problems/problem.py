# SPDX-License-Identifier: Apache-2.0
"""What the engine of a study has to know of what is predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.layout import SCORES

if TYPE_CHECKING:
    import pandas as pd

    from monai_cl_ext.study.splits import Split


class Problem(ABC):
    """What is predicted of an image, and so what cases are, how predictions are scored and what a report shows.

    Attributes:
        name: as in metadata.json and plan.json.
        primary: name of the metric that learning rates are chosen by and that the report begins with.
        shown: metrics whose tables are seen at once; the others unfold.
        item: what an image is called.
        tables: files of scores of a cell, scores.csv first.
        maps: predictions are maps, whose structures can be missed and which can be laid over the image.
        without: fields of a plan that mean nothing here.
    """

    name: ClassVar[str]
    primary: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    item: ClassVar[str]
    tables: ClassVar[tuple[str, ...]]
    maps: ClassVar[bool]
    without: ClassVar[tuple[str, ...]] = ()

    # The arguments of the next two stand in the commands; each problem has its own.
    cases: Any
    """Function from ``dataset_dir`` and arguments to the cases: text under "image", "patient" and "label"."""
    scoring: Any
    """Function from ``dataset_dir``, the cases and arguments to fields of a plan: the classes, 1, 2, ..."""

    @abstractmethod
    def num_classes(self, classes: Mapping[int, str]) -> int:
        """Outputs of a network."""

    @abstractmethod
    def refuse_unscored(self, split: Split, classes: Mapping[int, str]) -> None:
        """Raises a ValueError where validation or test patients cannot be scored."""

    @abstractmethod
    def handed(self, cases: Sequence[Case], classes: Mapping[int, str]) -> list[Case]:
        """Cases as the stages of a bundle read them."""

    @abstractmethod
    def told(self, classes: Mapping[int, str]) -> dict[str, Any]:
        """What a training is handed beside its cases, by config id, where its config has the id."""

    @abstractmethod
    def image_hash(self, path: str | Path) -> str:
        """Of what an image shows, however it is stored."""

    @abstractmethod
    def cards(
        self, parts: Sequence[Sequence[Case]], classes: Mapping[int, str], settings: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """A row of the data card for each part; every file is read whole, so that a damaged one stops the plan."""

    @abstractmethod
    def scores(self, cases: Sequence[Case], folder: Path, scoring: Mapping[str, Any]) -> pd.DataFrame:
        """The rows of scores.csv of the predictions below a folder.

        Args:
            cases: the test cases.
            folder: of a cell whose inference is done, or where one of its inferences wrote.
            scoring: fields of the plan that say how, see ``scoring``.
        """

    def score(
        self, cases: Sequence[Case], folder: Path, scoring: Mapping[str, Any], slice_axis: int
    ) -> dict[str, pd.DataFrame]:
        """The tables of a cell whose inference is done, by the name of their file.

        Args:
            cases, folder, scoring: see :meth:`scores`.
            slice_axis: of volumes, for slice-wise scores.
        """
        return {SCORES: self.scores(cases, folder, scoring)}
