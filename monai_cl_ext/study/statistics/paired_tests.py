# SPDX-License-Identifier: Apache-2.0
"""A paired test over patients and an effect size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from monai_cl_ext.study.statistics.anova import ROUNDING


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

    nan where all are the same but for rounding.

    Args:
        differences: (patients,).
    """
    found = np.asarray(differences, dtype=float)
    spread = found.std(ddof=1) if found.size > 1 else 0.0
    return float(found.mean() / spread) if spread > ROUNDING * np.abs(found).max() else float("nan")
