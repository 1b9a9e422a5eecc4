# SPDX-License-Identifier: Apache-2.0
"""The scores of a run with their intervals over patients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monai_cl_ext.packing.trained_run import TrainedRun
from monai_cl_ext.study.statistics.intervals import Estimate, crossed_interval

METRICS = {"dice": (0, 1), "hd95": (0, np.inf)}
"""Each with the values that it can have, at which intervals end."""
ALL = "mean"


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes:
        part: of the data, such as "test".
        patients: their number.
        estimates: mean and 95 % interval for other patients, by metric and class; ``ALL`` is the mean over classes.
        unit: of distances.
    """

    part: str
    patients: int
    estimates: dict[str, dict[str, Estimate]]
    unit: str

    def metrics(self) -> dict[str, float]:
        """Means and ends of intervals that are known, by name, for metadata.json."""
        found: dict[str, float] = {}
        for metric, by_class in self.estimates.items():
            for name, estimate in by_class.items():
                values = {"": estimate.mean, "_95_low": estimate.low, "_95_high": estimate.high}
                found |= {f"{metric}_{name}{end}": round(float(value), 4) for end, value in values.items()}
        return {name: value for name, value in found.items() if np.isfinite(value)}


def scores_of(run: TrainedRun) -> Scores | None:
    """The scores of the run's own evaluation; None where there are none, see ``TrainedRun.unscored``.

    Volumes of a patient are averaged first; a class that a volume lacks in both maps is left out.
    """
    if run.evaluation is None or run.unscored:
        return None
    ((part, card),) = run.evaluation["data"].items()
    patient_of = dict(zip(card["volume_names"], card["patient_of_volume"], strict=True))
    classes = list(dict.fromkeys(row["class"] for row in run.scores))
    estimates: dict[str, dict[str, Estimate]] = {}
    for metric, (least, most) in METRICS.items():
        table: dict[str, dict[str, list[float]]] = {}
        for row in run.scores:
            table.setdefault(patient_of[row["volume"]], {}).setdefault(row["class"], []).append(row[metric])
        values = np.array([[_mean(row.get(name, [])) for name in classes] for row in table.values()])
        columns = {ALL: [_mean(row) for row in values], **dict(zip(classes, values.T, strict=True))}
        found = {name: crossed_interval(np.array([column])) for name, column in columns.items()}
        estimates[metric] = {
            name: replace(each, low=np.clip(each.low, least, most), high=np.clip(each.high, least, most))
            for name, each in found.items()
        }
    spaced = run.evaluation["settings"].get("use_spacing", True)
    return Scores(part, len(set(patient_of.values())), estimates, "mm" if spaced else "voxels")


def _mean(values: object) -> float:
    known = [value for value in np.asarray(values, dtype=float) if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
