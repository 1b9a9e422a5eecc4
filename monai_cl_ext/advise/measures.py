# SPDX-License-Identifier: Apache-2.0
"""How far the distances of positive pairs lie below those of negative pairs: five measures."""

from __future__ import annotations

import math

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

BINS = 50
FARTHEST = 2.0
"""Largest distance of two rows of unit length."""


def auc(positive: Tensor, negative: Tensor) -> float:
    """Chance that a negative pair is farther than a positive one, equal distances counting half: 0.5 is none, 1 full.

    P(d- > d+) + P(d- = d+) / 2, which is Mann and Whitney's U over the number of comparisons.

    Args:
        positive, negative: distances, (P,) and (N,).
    """
    statistic = mannwhitneyu(negative.numpy(), positive.numpy(), method="asymptotic").statistic
    return float(statistic) / (len(positive) * len(negative))


def d_prime(positive: Tensor, negative: Tensor) -> float:
    """Difference of the means in units of the spread: (mean d- - mean d+) / sqrt((var d+ + var d-) / 2)."""
    spread = (positive.double().var(correction=0) + negative.double().var(correction=0)) / 2
    return float((negative.double().mean() - positive.double().mean()) / spread.sqrt())


def histogram_overlap(positive: Tensor, negative: Tensor) -> float:
    """Area that both histograms cover, sum over bins of min(share of d+, share of d-): 0 apart, 1 the same."""
    return float(torch.minimum(histogram(positive), histogram(negative)).sum())


def alignment(positive: Tensor) -> float:
    """Mean squared distance of positive pairs, E d+^2 (Wang and Isola 2020, section 4.1, alpha 2); 0 is the least."""
    return float(positive.double().square().mean())


def uniformity(negative: Tensor) -> float:
    """log E exp(-2 d-^2) (Wang and Isola 2020, section 4.1, t 2); lower is more evenly spread, 0 is one place.

    The paper averages over pairs of images drawn independently; here over the negative pairs.
    """
    return float(torch.logsumexp(-2 * negative.double().square(), dim=0) - math.log(len(negative)))


def histogram(distances: Tensor) -> Tensor:
    """Shares of the distances, from 0 to 2, in 50 bins of one width, float64 (50,)."""
    counts = torch.histc(distances.double(), bins=BINS, min=0.0, max=FARTHEST)
    return counts / len(distances)
