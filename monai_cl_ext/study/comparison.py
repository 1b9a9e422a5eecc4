# SPDX-License-Identifier: Apache-2.0
"""Means and differences of a study's methods, from the scores of every volume."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from monai_cl_ext.metrics.metric import METRICS
from monai_cl_ext.study.statistics import Estimate, cohen_dz, complete_folds, crossed_interval, permutation_p_value

KEYS = ["method", "labelled", "fold", "draw", "seed", "volume", "patient", "class", "metric"]
"""Columns of ``scores`` that say what a row is about; "value" and "missed" say what was found."""
BEST = "best"
"""As a reference: the method of the best mean at each number of labeled patients."""


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


def patient_table(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One score for each method, number of labeled patients, draw and patient.

    Means over the classes of a volume, then over the volumes of a patient, then over seeds; nan is left out of each.

    Returns:
        Columns method, labeled, fold, draw, patient, value.

    Raises:
        ValueError: as :func:`rows_of`.
    """
    cell = ["method", "labelled", "fold", "draw", "patient"]
    values = rows_of(scores, metric).set_index([*cell, "seed", "volume"])["value"]
    for level in ([*cell, "seed", "volume"], [*cell, "seed"], cell):
        values = values.groupby(level=level).mean()
    return values.reset_index()


def _matrices(table: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(draws, patients) of each method at one number of labeled patients, all alike, and the fold of each patient."""
    folds = table.drop_duplicates("patient").set_index("patient")["fold"].sort_index()
    draws = sorted(table["draw"].unique())
    wide = {
        str(name): rows.pivot(index="draw", columns="patient", values="value").reindex(index=draws, columns=folds.index)
        for name, rows in table.groupby("method")
    }
    return {name: values.to_numpy(float) for name, values in wide.items()}, folds.to_numpy()


def _in_order(scores: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(scores["method"]))


def summary(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean of each method at each number of labeled patients, with its interval over patients and draws.

    Args:
        scores: see :func:`rows_of`.
        metric: likewise.

    Returns:
        Columns method, labeled, patients, draws, mean, low, high, warning. The warning also tells how many cells
        (draw, patient) of those that any method has were left out.

    Raises:
        ValueError: as :func:`rows_of`.
    """
    rows = []
    for labelled, table in patient_table(scores, metric).groupby("labelled"):
        matrices, folds = _matrices(table)
        for name in _in_order(scores):
            if name in matrices:
                found = crossed_interval(matrices[name], groups=folds)
                rows.append(
                    (name, labelled, found.patients, found.draws, found.mean, found.low, found.high, found.warning)
                )
    return pd.DataFrame(rows, columns=["method", "labelled", "patients", "draws", "mean", "low", "high", "warning"])


def differences(scores: pd.DataFrame, metric: str, reference: str) -> pd.DataFrame:
    """Differences from the reference, paired by fold, draw and patient; cells that either lacks are left out.

    ``p`` and the interval are those of :func:`statistics.crossed_interval`: for other patients under other draws.
    ``p_permutation`` takes the draws as given. ``p_holm`` corrects ``p`` over all rows; with the reference "best" over
    all pairs of methods at each number of labeled patients, because the best is known only after all were looked at.

    Args:
        scores: see :func:`rows_of`.
        metric: likewise.
        reference: a method, or "best": the one of the best mean at each number of labeled patients.

    Returns:
        Columns labeled, method, reference, patients, draws, mean, low, high, p, p_holm, p_permutation, effect_size,
        warning. ``mean``: method - reference, whatever direction is better. ``effect_size``: d_z over patients. The
        frame's ``attrs["comparisons"]`` is the number that Holm's correction is over.

    Raises:
        ValueError: as :func:`rows_of`, and when the reference is no method of the study.
    """
    table, names = patient_table(scores, metric), _in_order(scores)
    if reference != BEST and reference not in names:
        raise ValueError(f"reference must be {BEST!r} or one of the methods {names}, found {reference!r}")
    found = []
    for labelled, part in table.groupby("labelled"):
        matrices, folds = _matrices(part)
        present = [name for name in names if name in matrices]
        if reference == BEST:
            best = _best(matrices, folds, METRICS[metric].higher_is_better)
            ordered = sorted(present, key=lambda name: name == best)
            pairs = list(combinations(ordered, 2))
        else:
            matrices.setdefault(reference, np.full_like(matrices[present[0]], np.nan))
            best, pairs = reference, [(name, reference) for name in present if name != reference]
        for first, second in pairs:
            row = _compare(matrices[first] - matrices[second], folds)
            found.append({"labelled": labelled, "method": first, "reference": second, **row, "shown": second == best})
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


def _best(matrices: dict[str, np.ndarray], folds: np.ndarray, higher_is_better: bool) -> str:
    means = {name: crossed_interval(values, groups=folds).mean for name, values in matrices.items()}
    known = {name: mean if higher_is_better else -mean for name, mean in means.items() if not np.isnan(mean)}
    return max(known, key=lambda name: known[name]) if known else next(iter(means))
