# SPDX-License-Identifier: Apache-2.0
"""What packing has to know of what is predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from monai_cl_ext.study.problems import Problem
from monai_cl_ext.study.statistics.intervals import Estimate

ALL = "mean"
"""Stands for all classes among the names of classes."""


class Kind(ABC):
    """What a bundle predicts of an image, and so what its metadata, its scores and its page say.

    Attributes:
        problem: of a study of the same.
        counted: of a data card of the run's record, its number of images.
        task: of metadata.json, before the names of the classes.
        prepared: ids by which a training and an evaluation tell how their images are prepared.
        serves: what inference reads and writes, a sentence of the page.
        whole: options of train.json by which it begins with all weights of a bundle; empty where it cannot.
        begins: with which weights it then begins, a sentence of the page.
        unit_test: file of the model zoo's unit test.
    """

    problem: ClassVar[Problem]
    counted: ClassVar[str]
    task: ClassVar[str]
    prepared: ClassVar[tuple[str, ...]]
    serves: ClassVar[str]
    whole: ClassVar[str]
    begins: ClassVar[str]
    unit_test: ClassVar[str]

    @abstractmethod
    def class_names(self, settings: Mapping[str, Any], evaluated: Mapping[str, Any]) -> list[str]:
        """Names of the classes that are scored.

        Args:
            settings: of the training, by config id.
            evaluated: the same of its evaluation, else as evaluate.json has it.
        """

    @abstractmethod
    def metadata(
        self, known: Mapping[str, Any], names: Sequence[str], data: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Values of metadata.json of what is predicted and what it was trained on.

        Args:
            known: metadata.json of the bundle.
            names: of the classes that are scored.
            data: of the training, in a few words.
            settings: of the training, by config id.
        """

    @abstractmethod
    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """The scores that an evaluation left in a folder; none where it left none."""

    @abstractmethod
    def estimates(self, rows: Sequence[Mapping[str, Any]], card: Mapping[str, Any]) -> dict[str, dict[str, Estimate]]:
        """Scores with intervals for other patients, by metric and class; ``ALL`` comes first.

        Args:
            rows: see :meth:`rows`.
            card: of the data that were scored.
        """

    def inference(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Values of inference.json that the training's configuration does not have as they are."""
        return {}

    def beside_weights(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Content of the files of models/ that tell what the weights mean, by name."""
        return {}
