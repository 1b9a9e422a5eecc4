# SPDX-License-Identifier: Apache-2.0
"""Means and differences of a study's methods in one metric, from the scores of every volume."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from monai_cl_ext.metrics.metric import METRICS, Metric
from monai_cl_ext.study.plan_fields import BEST
from monai_cl_ext.study.statistics import Estimate, cohen_dz, complete_folds, crossed_interval, permutation_p_value

KEYS = ["method", "labelled", "fold", "draw", "seed", "volume", "patient", "class", "metric"]
"""Columns of ``scores`` that say what a row is about; "value" and "missed" say what was found."""


def rows_of(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric.

    Args:
        scores: one row for each method, number of labeled patients, fold, draw, seed, volume, class and metric.
        metric: the name of one of ``METRICS``.

    Raises:
        ValueError: when columns are missing or have holes, the metric is unknown or has no row, a row occurs twice, or
            a patient is tested in several folds.
    """
    missing = [column for column in [*KEYS, "value", "missed"] if column not in scores]
    if missing:
        raise ValueError(f"scores lack the columns {missing}, found {list(scores)}; read the study's scores.csv")
    found = sorted(set(scores["metric"]))
    if metric not in METRICS or metric not in found:
        raise ValueError(f"metric must be one of {sorted(METRICS)} and in scores, which have {found}: {metric!r}")
    rows = scores[scores["metric"] == metric]
    holes = [column for column in KEYS if rows[column].isna().any()]
    if holes:
        raise ValueError(
            f"scores have empty cells in the columns {holes}; a study without folds has the fold 0 throughout"
        )
    twice = rows[rows.duplicated(KEYS)]
    if len(twice):
        row = dict(twice.iloc[0][KEYS])
        raise ValueError(f"scores have {len(twice)} rows twice, the first {row}; were two runs written into one file?")
    folds = rows.groupby("patient")["fold"].nunique()
    if folds.max() > 1:
        raise ValueError(
            f"patient {folds.idxmax()!r} is tested in {folds.max()} folds, expected one; give each one test fold"
        )
    return rows.assign(patient=rows["patient"].astype(str))  # names of digits come out of some files as numbers


def patient_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One score for each method, number of labeled patients, draw and patient.

    Means over the classes of a volume, then over the volumes of a patient, then over seeds; nan is left out of each.

    Args:
        rows: of one metric, see :func:`rows_of`.

    Returns:
        Columns method, labelled, fold, draw, patient, value.
    """
    cell = ["method", "labelled", "fold", "draw", "patient"]
    values = rows.set_index([*cell, "seed", "volume"])["value"]
    for level in ([*cell, "seed", "volume"], [*cell, "seed"], cell):
        values = values.groupby(level=level).mean()
    return values.reset_index()


class Comparison:
    """The methods of a study in one metric; each table is computed once, when it is first asked for.

    Args:
        scores: see :func:`rows_of`.
        metric: likewise.
        reference: a method, or "best": the one of the best mean at each number of labeled patients.

    Raises:
        ValueError: as :func:`rows_of`, and when the reference is no method of the study.
    """

    def __init__(self, scores: pd.DataFrame, metric: str, reference: str = BEST) -> None:
        self.rows = rows_of(scores, metric)
        self.metric: Metric = METRICS[metric]
        self.reference = reference
        self.methods: list[str] = list(dict.fromkeys(scores["method"]))
        if reference != BEST and reference not in self.methods:
            raise ValueError(f"reference must be {BEST!r} or one of the methods {self.methods}, found {reference!r}")

    @cached_property
    def patient_table(self) -> pd.DataFrame:
        """One score for each method, number of labeled patients, draw and patient, see :func:`patient_table`."""
        return patient_table(self.rows)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Mean of each method at each number of labeled patients, with its interval over patients and draws.

        Columns method, labelled, patients, draws, mean, low, high, warning. The warning also tells how many cells
        (draw, patient) of those that any method has were left out.
        """
        rows = []
        for labelled, (matrices, folds) in self._matrices.items():
            for name in self.methods:
                if name in matrices:
                    found = crossed_interval(matrices[name], groups=folds)
                    rows.append(
                        (name, labelled, found.patients, found.draws, found.mean, found.low, found.high, found.warning)
                    )
        return pd.DataFrame(rows, columns=["method", "labelled", "patients", "draws", "mean", "low", "high", "warning"])

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Differences from the reference, paired by fold, draw and patient; cells that either lacks are left out.

        Columns labelled, method, reference, patients, draws, mean, low, high, p, p_holm, p_permutation, effect_size,
        warning. ``mean``: method - reference, whatever direction is better. ``p`` and the interval are those of
        :func:`statistics.crossed_interval`: for other patients under other draws. ``p_permutation`` takes the draws as
        given. ``p_holm`` corrects ``p`` over all rows; with the reference "best" over all pairs of methods at each
        number of labeled patients, because the best is known only after all were looked at. ``effect_size``: d_z over
        patients. The frame's ``attrs["comparisons"]`` is the number that Holm's correction is over.
        """
        found = [row for labelled in self._matrices for row in self._pairs(labelled)]
        columns = ["labelled", "method", "reference", "patients", "draws", "mean", "low", "high", "p", "p_holm"]
        columns += ["p_permutation", "effect_size", "warning"]
        result = pd.DataFrame(found, columns=[*columns, "shown"])
        tested = result["p"].notna()
        if tested.any():
            result.loc[tested, "p_holm"] = multipletests(result.loc[tested, "p"], method="holm")[1]
        result = result.astype({"p_holm": float})
        shown = result.loc[result["shown"].astype(bool), columns].reset_index(drop=True)
        shown.attrs["comparisons"] = int(tested.sum())
        return shown

    def _pairs(self, labelled: int) -> Iterator[dict[str, Any]]:
        """The differences that are tested at one number of labeled patients."""
        matrices, folds = self._matrices[labelled]
        present = [name for name in self.methods if name in matrices]
        if self.reference == BEST:
            best = self._best(labelled)
            pairs = list(combinations(sorted(present, key=lambda name: name == best), 2))
        else:
            best, pairs = self.reference, [(name, self.reference) for name in present if name != self.reference]
        nothing = np.full_like(matrices[present[0]], np.nan)
        for first, second in pairs:
            row = _compare(matrices[first] - matrices.get(second, nothing), folds)
            yield {"labelled": labelled, "method": first, "reference": second, **row, "shown": second == best}

    def _best(self, labelled: int) -> str:
        means = self.summary[self.summary["labelled"] == labelled].set_index("method")["mean"].sort_index()
        known = means.dropna()
        if known.empty:
            return str(means.index[0])
        return str(known.idxmax() if self.metric.higher_is_better else known.idxmin())

    @cached_property
    def _matrices(self) -> dict[int, tuple[dict[str, np.ndarray], np.ndarray]]:
        return {labelled: _by_draw_and_patient(table) for labelled, table in self.patient_table.groupby("labelled")}


def _by_draw_and_patient(table: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(draws, patients) of each method at one number of labeled patients, all alike, and the fold of each patient."""
    folds = table.drop_duplicates("patient").set_index("patient")["fold"].sort_index()
    draws = sorted(table["draw"].unique())
    wide = {
        str(name): rows.pivot(index="draw", columns="patient", values="value").reindex(index=draws, columns=folds.index)
        for name, rows in table.groupby("method")
    }
    return {name: values.to_numpy(float) for name, values in wide.items()}, folds.to_numpy()


def _compare(values: np.ndarray, folds: np.ndarray) -> dict[str, Any]:
    found: Estimate = crossed_interval(values, groups=folds)
    each = [fold.mean(0) for fold in complete_folds(values, folds)]
    by_patient = np.concatenate(each) if each else np.array([])
    return {
        "patients": found.patients,
        "draws": found.draws,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "p": found.p_value,
        "p_permutation": float(permutation_p_value(by_patient)) if by_patient.size > 1 else float("nan"),
        "effect_size": cohen_dz(by_patient) if by_patient.size else float("nan"),
        "warning": found.warning,
    }
