# SPDX-License-Identifier: Apache-2.0
"""Studies of segmentation: cases are volumes with label volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl_ext.arguments import as_list
from monai_cl_ext.data.decathlon import DESCRIPTION
from monai_cl_ext.data.described_labels import label_names
from monai_cl_ext.data.folders import find_cases
from monai_cl_ext.data.patients import PATIENT_PATTERN
from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.layout import PAPER_COMPAT, SCORES
from monai_cl_ext.study.problems.problem import Problem
from monai_cl_ext.study.problems.volume_card import volume_cards

if TYPE_CHECKING:
    import pandas as pd

    from monai_cl_ext.study.splits import Split


def volumes(dataset_dir: str, label_dir: str | None = None, patient_pattern: str = PATIENT_PATTERN) -> list[Case]:
    """The volumes of a study.

    Args:
        dataset_dir: Folder of volumes with labels of some, see data.find_cases.
        label_dir: Labels with the names of their images, for a folder without dataset.json.
        patient_pattern: Regular expression whose first group, at the start of a file's name, is the patient.

    Raises:
        ValueError: when an argument is wrong.
        FileNotFoundError: when a folder or a file is absent.
    """
    # The plan keeps whole paths; realpath, since Path.resolve raises a RuntimeError on a link to itself.
    labels = None if label_dir is None else os.path.realpath(str(label_dir))
    cases = list(find_cases(os.path.realpath(str(dataset_dir)), labels, patient_pattern))
    if not any("label" in case for case in cases):
        raise ValueError(f"dataset_dir {dataset_dir}: none of its {len(cases)} volume(s) has a label; give --label_dir")
    return cases


def volume_scoring(
    dataset_dir: str,
    cases: Sequence[Case],
    classes: Sequence[str] = (),
    use_spacing: bool = True,
    tolerance: float = 2.0,
) -> dict[str, Any]:
    """How a study of volumes scores, as fields of its plan.

    Args:
        dataset_dir: Folder of volumes.
        cases: Its volumes.
        classes: Names of the labels 1, 2, ...; those of dataset.json by default.
        use_spacing: Distances in mm, by the header of the label; False takes voxels.
        tolerance: Of the surface Dice, in the same unit.

    Raises:
        ValueError: when the classes are not named.
    """
    found = dict(enumerate(map(str, as_list(classes)), start=1)) or classes_of(Path(dataset_dir))
    return {"classes": found, "use_spacing": use_spacing, "tolerance": tolerance}


def classes_of(folder: Path) -> dict[int, str]:
    """Names of the foreground labels by the dataset.json of a folder.

    Raises:
        ValueError: when there is none, or it names no labels.
    """
    description = folder / DESCRIPTION
    if not description.is_file():
        raise ValueError(
            f"{folder} has no {DESCRIPTION} that names the labels; give --classes, such as '[RV,myocardium,LV]'"
        )
    named = {label: name for label, name in label_names(description).items() if label > 0}
    if not named or sorted(named) != list(range(1, len(named) + 1)):
        raise ValueError(f"{description}: labels must be 1, 2, ... without gaps, found {sorted(named)}; map them first")
    return {label: named[label] for label in sorted(named)}


class Segmentation(Problem):
    """Maps of structures in volumes, scored by Dice and distances."""

    name = "segmentation"
    primary = "dice"
    shown = ("dice", "hd95")
    item = "volume"
    tables = (SCORES, PAPER_COMPAT)
    maps = True
    cases = staticmethod(volumes)
    scoring = staticmethod(volume_scoring)

    def num_classes(self, classes: Mapping[int, str]) -> int:
        """The structures and the background."""
        return len(classes) + 1

    def refuse_unscored(self, split: Split, classes: Mapping[int, str]) -> None:
        """Any labels can be scored, of images whose names differ."""
        from monai_cl_ext.study.scores import names_of_predictions

        for part in ("validation", "test"):
            names_of_predictions(split[part])

    def handed(self, cases: Sequence[Case], classes: Mapping[int, str]) -> list[Case]:
        """As they are."""
        return list(cases)

    def told(self, classes: Mapping[int, str]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def image_hash(self, path: str | Path) -> str:
        """Of the voxels as they are stored; of several channels those of the first."""
        from monai_cl_ext.data.image_hash import voxel_hash

        return voxel_hash(path)

    def cards(
        self, parts: Sequence[Sequence[Case]], classes: Mapping[int, str], settings: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Patients, volumes, slices, sizes, spacing, volumes with each class."""
        return volume_cards(parts, classes, int(settings.get("slice_axis", 2)))

    def scores(self, cases: Sequence[Case], folder: Path, scoring: Mapping[str, Any]) -> pd.DataFrame:
        """Each volume and class."""
        from monai_cl_ext.study.scores import find_predictions, score_predictions

        classes = _numbered(scoring["classes"])
        return score_predictions(cases, find_predictions(cases, folder), **{**scoring, "classes": classes})

    def score(
        self, cases: Sequence[Case], folder: Path, scoring: Mapping[str, Any], slice_axis: int
    ) -> dict[str, pd.DataFrame]:
        """Each volume and class; and the scores by the formulas of the papers."""
        from monai_cl_ext.study.paper_compat import paper_compat_scores
        from monai_cl_ext.study.scores import find_predictions

        predictions, classes = find_predictions(cases, folder), _numbered(scoring["classes"])
        pooled = paper_compat_scores(cases, predictions, classes, slice_axis)
        return {**super().score(cases, folder, scoring, slice_axis), PAPER_COMPAT: pooled}


def _numbered(classes: Mapping[Any, str]) -> dict[int, str]:
    """Classes as a plan names them; the keys of JSON are texts."""
    return {int(label): name for label, name in classes.items()}
