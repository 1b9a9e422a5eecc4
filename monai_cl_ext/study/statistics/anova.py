# SPDX-License-Identifier: Apache-2.0
"""Analysis of variance of scores in which each patient is tested under several draws of labeled patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import elementwise
from scipy.special import stdtrit

SMALLEST_P = 1e-30
"""Smaller p values are given as this."""

ROUNDING = 1e-12
"""Of a mean: a spread below it is that of rounding."""


class CrossedMean(NamedTuple):
    """A mean over draws and patients and what an analysis of variance tells of its variance; arrays of one shape.

    Attributes:
        mean: each patient counts alike.
        draws: variance of the mean as the spread of the draws' means tells it, noise of single cells included.
        patients: the same from the spread of the patients' means.
        noise: the part of the noise, which both of them hold.
        draw_freedom: degrees of freedom of ``draws``; 0 where nothing tells how draws vary.
        patient_freedom: degrees of freedom of ``patients``.
        by_folds: whether the spread of the folds' means stands for draws and patients, which cannot be told apart.
    """

    mean: np.ndarray
    draws: np.ndarray
    patients: np.ndarray
    noise: np.ndarray
    draw_freedom: int
    patient_freedom: int
    by_folds: bool = False

    def standard_error(self) -> np.ndarray:
        """Square root of draws + patients - noise; of the larger of the first two where the sum falls below it.

        nan where all scores are the same but for rounding and not 0: nothing tells how the mean varies.
        """
        error = np.sqrt(np.maximum(self.draws + self.patients - self.noise, np.maximum(self.draws, self.patients)))
        return np.where((error <= ROUNDING * np.abs(self.mean)) & (self.mean != 0), np.nan, error)

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
        ratio = np.divide(size, error, out=np.zeros_like(size), where=error != 0)  # 0 / 0: all scores are 0
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
        return CrossedMean(mean, between, 0 * mean, 0 * mean, len(folds) - 1, int(freedom[1]), by_folds=True)
    return CrossedMean(mean, draw, patient, noise, int(freedom[0]), int(freedom[1]))
