# SPDX-License-Identifier: Apache-2.0
"""The scores of a run with their intervals over patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl_ext.packing.trained_run import TrainedRun
from monai_cl_ext.study.statistics.intervals import Estimate


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes:
        part: of the data, such as "test".
        patients: their number.
        estimates: with intervals for other patients, by metric and class; that of all classes first.
        unit: of distances.
        level: of the intervals.
    """

    part: str
    patients: int
    estimates: dict[str, dict[str, Estimate]]
    unit: str
    level: float

    def metrics(self) -> dict[str, float]:
        """Means and ends of intervals that are known, by name, for metadata.json."""
        found: dict[str, float] = {}
        low, high = (f"_{100 * self.level:g}_{end}" for end in ("low", "high"))
        for metric, by_class in self.estimates.items():
            for name, estimate in by_class.items():
                values = {"": estimate.mean, low: estimate.low, high: estimate.high}
                found |= {f"{metric}_{name}{end}": round(float(value), 4) for end, value in values.items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}


def scores_of(run: TrainedRun) -> Scores | None:
    """The scores of the run's own evaluation; None where there are none, see ``TrainedRun.unscored``."""
    if run.evaluation is None or run.unscored:
        return None
    part, card = next(iter(run.evaluation["data"].items()))
    settings = run.evaluation["settings"]
    estimates = run.kind.estimates(run.scores, card)
    unit = "mm" if settings.get("use_spacing", True) else "voxels"
    return Scores(part, card["patients"], estimates, unit, settings.get("level", 0.95))
