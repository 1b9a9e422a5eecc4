# SPDX-License-Identifier: Apache-2.0
"""Interval of a mean over patients and draws of labeled patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from monai_cl_ext.study.statistics.anova import CrossedMean, crossed_mean


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: nan where no cell is left.
        low: lower end of the interval; nan where nothing tells it.
        high: upper end.
        p_value: two-sided, for a true mean of 0.
        patients: that the mean is over.
        draws: the same; those of the fold that has most.
        missing: cells (draw, patient) that were left out, or that folds with fewer draws lack.
        warning: why the interval may not hold its level; empty when nothing is known against it.
    """

    mean: float
    low: float
    high: float
    p_value: float
    patients: int
    draws: int
    missing: int
    warning: str


def crossed_interval(values: ArrayLike, level: float = 0.95, groups: ArrayLike | None = None) -> Estimate:
    """Interval of the mean over patients and draws that holds for other patients under other draws.

    Two-way random-effects analysis of variance (Cornfield & Tukey 1956) with t quantiles of draws and patients weighted
    by their shares of the variance (Cochran 1964, Biometrics 20, 191). With one draw and one fold it holds for other
    patients only. docs/results/statistics.md has its coverage in simulations.

    Args:
        values: (draws, patients), averaged over seeds, volumes and classes; nan where a cell is missing. Draws and
            patients are left out until those that stay are complete.
        level: of the interval.
        groups: (patients,), fold of each patient: row d then holds draw d of each patient's own fold, which has nothing
            to do with draw d of the others. None: one fold.

    Raises:
        ValueError: when shapes do not fit or ``level`` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}; give 0.95 for 95 %")
    values = np.asarray(values, dtype=float)
    folds = complete_folds(values, groups)
    if not folds:
        return Estimate(np.nan, np.nan, np.nan, np.nan, 0, 0, values.size, "no draw and patient has a score")
    found = crossed_mean(folds)
    missing = values.size - sum(fold.size for fold in folds)
    mean, half, p_value = float(found.mean), float(found.half_width(level)), float(found.p_value())
    if found.draw_freedom == found.patient_freedom == 0:
        half = p_value = np.nan
    patients, draws = sum(fold.shape[1] for fold in folds), max(fold.shape[0] for fold in folds)
    warning = "; ".join(_warnings(found, patients, missing, values.size))
    return Estimate(mean, mean - half, mean + half, p_value, patients, draws, missing, warning)


def complete_folds(values: ArrayLike, groups: ArrayLike | None = None) -> list[np.ndarray]:
    """The folds of a study, (draws, patients) each, without the draws and patients that lack cells.

    What lacks the largest part of its cells goes first: a draw that broke off, or a patient without a score.

    Args:
        values: (draws, patients) with nan for missing cells.
        groups: fold of each patient; None: one fold.

    Raises:
        ValueError: when shapes do not fit.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"values must have the shape (draws, patients), found {values.shape}")
    fold_of = np.zeros(values.shape[1], int) if groups is None else np.asarray(groups)
    if fold_of.shape != values.shape[1:]:
        raise ValueError(f"groups must name the fold of each of the {values.shape[1]} patients, found {fold_of.shape}")
    folds = []
    for name in np.unique(fold_of):
        fold = values[:, fold_of == name]
        while fold.size and np.isnan(fold).any():
            by_draw, by_patient = np.isnan(fold).mean(1), np.isnan(fold).mean(0)
            axis = 0 if by_draw.max() >= by_patient.max() else 1
            fold = np.delete(fold, (by_draw, by_patient)[axis].argmax(), axis)
        if fold.size:
            folds.append(fold)
    return folds


def _warnings(found: CrossedMean, patients: int, missing: int, cells: int) -> Iterator[str]:
    """What the simulation in docs/results/statistics.md knows against an interval, and what was left out.

    The bounds are those beyond which a 95 % interval held the true mean in less than 94 % of the simulated studies, or
    more than 5.5 % of the simulated tables had a false difference after Holm's correction.
    """
    if np.isnan(found.standard_error()):
        yield "all scores are the same: nothing tells how they vary, so there is no interval and no p"
    if found.by_folds:
        yield "one draw or one patient a fold: they are not told apart, and the interval is that of the folds' means"
    elif found.draw_freedom == 0:
        yield "one draw: the interval holds for other patients, not for other draws of labeled patients"
    elif found.draw_freedom == 1:
        yield "two draws: where draws vary much a 95 % interval covers 91 to 94 %, and Holm's p is too small"
    elif found.draw_freedom < 10 and found.draw_share() > 0.75:
        reason = "draws vary more than patients and are few: where they are skewed a 95 % interval covers 92 %"
        yield reason + (", and Holm's p can be too small" if found.draw_freedom == 2 else "")
    if patients == 1:
        yield "one patient: the interval holds for other draws, not for other patients"
    elif patients < 10:
        yield f"{patients} patients: a 95 % interval covers 92 % where their scores are skewed"
    if missing:
        yield f"{missing} of {cells} cells (draw, patient) left out or missing"
