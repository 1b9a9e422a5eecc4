# SPDX-License-Identifier: Apache-2.0
"""Statistics of scores in which each patient is tested under several draws of labeled patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import elementwise
from scipy.special import stdtrit

SMALLEST_P = 1e-30
"""Smaller p values are given as this."""


class CrossedMean(NamedTuple):
    """A mean over draws and patients and what an analysis of variance tells of its variance; arrays of one shape.

    Attributes:
        mean: each patient counts alike.
        draws: variance of the mean as the spread of the draws' means tells it, noise of single cells included.
        patients: the same from the spread of the patients' means.
        noise: the part of the noise, which both of them hold.
        draw_freedom: degrees of freedom of ``draws``; 0 where nothing tells how draws vary.
        patient_freedom: degrees of freedom of ``patients``.
    """

    mean: np.ndarray
    draws: np.ndarray
    patients: np.ndarray
    noise: np.ndarray
    draw_freedom: int
    patient_freedom: int

    def standard_error(self) -> np.ndarray:
        """Square root of draws + patients - noise; of the larger of the first two where the sum falls below it."""
        return np.sqrt(np.maximum(self.draws + self.patients - self.noise, np.maximum(self.draws, self.patients)))

    def draw_share(self) -> np.ndarray:
        """Draws' part of draws + patients, from 0 to 1."""
        total = self.draws + self.patients
        return np.divide(self.draws, total, out=np.zeros_like(total), where=total > 0)

    def half_width(self, level: float) -> np.ndarray:
        """Half of the interval that holds the true mean with probability ``level``."""
        quantile = _quantile(np.log1p(-level), self.draw_share(), self.draw_freedom, self.patient_freedom)
        return quantile * self.standard_error()

    def p_value(self) -> np.ndarray:
        """Two-sided, for a true mean of 0: below 1 - level just where the interval of that level leaves out 0."""
        error, size, share = self.standard_error(), np.abs(self.mean), self.draw_share()
        ratio = np.divide(size, error, out=np.where(size > 0, np.inf, 0.0), where=error > 0)
        freedom, smallest = (self.draw_freedom, self.patient_freedom), np.log(SMALLEST_P)
        ratio = np.minimum(ratio, _quantile(smallest, share, *freedom))
        root = elementwise.find_root(
            lambda log_p, share, ratio: _quantile(log_p, share, *freedom) - ratio, (smallest, 0.0), args=(share, ratio)
        )
        return np.exp(root.x)


def _quantile(log_p: ArrayLike, draw_share: np.ndarray, draw_freedom: int, patient_freedom: int) -> np.ndarray:
    """Two-sided quantiles of Student's t for draws and for patients, weighted by their shares of the variance."""
    tail = np.exp(log_p) / 2
    by_draws, by_patients = (-stdtrit(max(freedom, 1), tail) for freedom in (draw_freedom, patient_freedom))
    return draw_share * by_draws + (1 - draw_share) * by_patients


def crossed_mean(folds: Sequence[np.ndarray]) -> CrossedMean:
    """Analysis of variance with patients and draws crossed within each fold, both random.

    The spread is pooled over folds and taken to be the same in each. Where folds have one draw, or one patient, each,
    draws and patients cannot be told apart; the spread of the folds' means then stands for both, under ``draws``.

    Args:
        folds: of shape (..., draws, patients), complete; leading axes are studies of one design.
    """
    patients = [fold.shape[-1] for fold in folds]
    weights = np.array(patients) / sum(patients)
    means = np.stack([fold.mean((-2, -1)) for fold in folds])
    mean = np.tensordot(weights, means, 1)
    squares, freedom, factors = np.zeros((3, *mean.shape)), np.zeros(3, int), np.zeros(3)
    for fold, weight, center in zip(folds, weights, means, strict=True):
        shape = np.array(fold.shape[-2:])
        by_draw, by_patient = fold.mean(-1) - center[..., None], fold.mean(-2) - center[..., None]
        rest = fold - center[..., None, None] - by_draw[..., None] - by_patient[..., None, :]
        squares += [(by_draw**2).sum(-1), (by_patient**2).sum(-1), (rest**2).sum((-2, -1))]
        freedom += [*(shape - 1), (shape - 1).prod()]
        factors += weight**2 / [*shape, shape.prod()]
    draw, patient, noise = (square * f / max(df, 1) for square, f, df in zip(squares, factors, freedom, strict=True))
    if len(folds) > 1 and 0 in freedom[:2]:
        between = np.tensordot(weights**2, (means - mean) ** 2, 1) * len(folds) / (len(folds) - 1)
        return CrossedMean(mean, between, 0 * mean, 0 * mean, len(folds) - 1, int(freedom[1]))
    return CrossedMean(mean, draw, patient, noise, int(freedom[0]), int(freedom[1]))


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
    if found.draw_freedom == 0:
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


def permutation_p_value(differences: ArrayLike, resamples: int = 9999, seed: int = 0) -> np.ndarray:
    """Two-sided p of a paired test that flips the signs of the patients' differences at random.

    It takes the draws as given: where methods differ by draw it finds differences that other draws do not show. All
    sign flips are tried where there are no more than ``resamples``.

    Args:
        differences: (..., patients), one for each patient, averaged over draws.
        resamples: random sign flips.
        seed: of these.

    Returns:
        Of the shape of the leading axes.
    """
    test = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        axis=-1,
        rng=np.random.default_rng(seed),
    )
    return test.pvalue


def cohen_dz(differences: ArrayLike) -> float:
    """Mean of paired differences in units of their standard deviation over patients (Cohen 1988, d_z).

    Args:
        differences: (patients,).
    """
    found = np.asarray(differences, dtype=float)
    spread = found.std(ddof=1) if found.size > 1 else 0.0
    return float(found.mean() / spread) if spread > 0 else float("nan")


def labels_to_match(
    reference: Mapping[int, float], method: Mapping[int, float], higher_is_better: bool = True
) -> pd.DataFrame:
    """How many labeled patients the reference needs for the score that a method has with fewer.

    The reference's curve is linear in the score over the logarithm of the number; where it crosses a score more than
    once the smallest number counts.

    Args:
        reference: score by number of labeled patients.
        method: likewise.
        higher_is_better: False for distances.

    Returns:
        Columns labeled, value, labels, ratio, note. ``ratio``: labels / labeled, above 1 where the method saves
        labels. Where the curve does not reach the score, labels is nan and the note says ``>`` the largest number or
        ``<`` the smallest.

    Raises:
        ValueError: when a curve is empty, has a score that is not finite or a number below 1.
    """
    curves = []
    for name, curve in (("reference", reference), ("method", method)):
        counts, scores = np.array(sorted(dict(curve).items()), dtype=float).reshape(-1, 2).T
        if not counts.size or not np.isfinite(scores).all() or counts[0] < 1:
            raise ValueError(
                f"{name} must give a finite score for one or more numbers of labeled patients, found {curve}"
            )
        curves.append((counts, scores))
    (counts, scores), (labelled, wanted) = curves
    sign = 1 if higher_is_better else -1
    rows = []
    for number, score in zip(labelled, wanted, strict=True):
        reached = np.flatnonzero(sign * scores >= sign * score)
        labels, note = float("nan"), ""
        if not reached.size:
            note = f">{counts[-1]:g}"
        elif reached[0] > 0:
            pair = slice(reached[0] - 1, reached[0] + 1)
            labels = float(2 ** np.interp(sign * score, sign * scores[pair], np.log2(counts[pair])))
        elif scores[0] == score:
            labels = float(counts[0])
        else:
            note = f"<{counts[0]:g}"
        rows.append((int(number), float(score), labels, labels / number, note))
    return pd.DataFrame(rows, columns=["labelled", "value", "labels", "ratio", "note"])


@dataclass(frozen=True)
class Ranks:
    """Average ranks of methods, for a critical-difference diagram.

    Attributes:
        ranks: (methods,), 1 is best, ties share their ranks.
        statistic: Friedman's chi-square.
        p_value: of Friedman's test, that the methods rank alike.
        critical_difference: of two average ranks that Nemenyi's test tells apart.
    """

    ranks: np.ndarray
    statistic: float
    p_value: float
    critical_difference: float


def average_ranks(values: ArrayLike, higher_is_better: bool = True, level: float = 0.95) -> Ranks:
    """Friedman's test and Nemenyi's critical difference (Demsar 2006, JMLR 7, section 3.2.2).

    Like the permutation test it takes the draws as given.

    Args:
        values: (patients, methods), averaged over draws; or (data sets, methods).
        higher_is_better: False for distances.
        level: 1 - the probability of a false difference among all pairs.

    Raises:
        ValueError: when there are fewer than three methods or two patients, or a value is missing.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3 or np.isnan(table).any():
        raise ValueError(
            "values must have the shape (patients, methods) with two or more patients, three or more methods and no"
            f" nan, found {table.shape} with {int(np.isnan(table).sum())} nan; leave out patients that lack a method"
        )
    patients, methods = table.shape
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1).mean(0)
    test = stats.friedmanchisquare(*table.T)
    quantile = stats.studentized_range.ppf(level, methods, np.inf) / np.sqrt(2)
    critical = quantile * np.sqrt(methods * (methods + 1) / (6 * patients))
    return Ranks(ranks, float(test.statistic), float(test.pvalue), float(critical))
