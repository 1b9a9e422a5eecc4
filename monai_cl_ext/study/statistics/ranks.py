# SPDX-License-Identifier: Apache-2.0
"""Average ranks of methods, and which of them differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


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
