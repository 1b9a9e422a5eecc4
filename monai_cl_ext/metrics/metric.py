# SPDX-License-Identifier: Apache-2.0
"""What tables and figures have to know of each metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric of test patients.

    Attributes:
        name: in scores.csv, metrics.csv and the dictionaries that compute it.
        title: in tables and figures.
        higher_is_better: False for distances.
        digits: after the point.
        unit: "distance": in mm, or in voxels where the spacing is not used; "" for numbers from 0 to 1.
        of: what has a value: a "structure" of a volume, which can be missed; a "picture"; or the whole "test set", of
            whose patients scores.csv holds pseudo-values, see ``study.statistics.pseudo_values``.
    """

    name: str
    title: str
    higher_is_better: bool = True
    digits: int = 3
    unit: Literal["", "distance"] = ""
    of: Literal["structure", "picture", "test set"] = "structure"

    def label(self, distance: str) -> str:
        """The title, with its unit where it has one: "HD95 (mm)".

        Args:
            distance: unit of distances, "mm" or "voxels"; empty when not known.
        """
        return f"{self.title} ({distance})" if self.unit and distance else self.title


METRICS = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice"),
        Metric("jaccard", "Jaccard"),
        Metric("hd95", "HD95", higher_is_better=False, digits=1, unit="distance"),
        Metric("asd", "ASD", higher_is_better=False, digits=2, unit="distance"),
        Metric("surface_dice", "Surface Dice"),
        Metric("auroc", "AUROC", of="test set"),
        Metric("aupr", "AUPR", of="test set"),
        Metric("accuracy", "Accuracy", of="picture"),
        Metric("brier", "Brier score", higher_is_better=False, of="picture"),
    )
}
"""Every metric by its name, in the order of tables."""

SEGMENTATION = ("dice", "jaccard", "hd95", "asd")
"""Of ``segmentation_scores``."""

CLASSIFICATION = ("auroc", "aupr", "accuracy")
"""Of ``classification_scores``."""
