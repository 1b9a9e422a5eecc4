# SPDX-License-Identifier: Apache-2.0
"""Each measure equals its formula written out."""

import math

import pytest
import torch

from monai_cl_ext.advise import measures

POSITIVE = torch.tensor([0.1, 0.4, 0.4, 0.9, 1.3])
NEGATIVE = torch.tensor([0.4, 0.8, 1.0, 1.1, 1.3, 1.9, 0.05])


def test_auc_counts_comparisons():
    won = sum(1.0 if far > near else 0.5 if far == near else 0.0 for far in NEGATIVE for near in POSITIVE)
    assert measures.auc(POSITIVE, NEGATIVE) == pytest.approx(won / (5 * 7))
    assert measures.auc(torch.zeros(4), torch.ones(3)) == 1 and measures.auc(torch.ones(4), torch.zeros(3)) == 0
    assert measures.auc(torch.ones(4), torch.ones(3)) == 0.5


def test_d_prime_is_the_difference_of_means_in_units_of_the_spread():
    def moments(values):
        mean = sum(values) / len(values)
        return mean, sum((value - mean) ** 2 for value in values) / len(values)

    (near, spread_near), (far, spread_far) = moments(POSITIVE.tolist()), moments(NEGATIVE.tolist())
    expected = (far - near) / math.sqrt((spread_near + spread_far) / 2)
    assert measures.d_prime(POSITIVE, NEGATIVE) == pytest.approx(expected)
    assert measures.d_prime(NEGATIVE, POSITIVE) == pytest.approx(-expected)


def test_overlap_is_the_area_under_both_histograms():
    def share(values, place):
        low, high = place * 0.04, (place + 1) * 0.04
        return sum(low <= value < high or (value == 2 and high == 2) for value in values.double().tolist()) / len(
            values
        )

    expected = sum(min(share(POSITIVE, place), share(NEGATIVE, place)) for place in range(50))
    assert 0 < expected < 1
    assert measures.histogram_overlap(POSITIVE, NEGATIVE) == pytest.approx(expected)
    assert measures.histogram_overlap(POSITIVE, POSITIVE) == pytest.approx(1)
    assert measures.histogram_overlap(torch.zeros(3), torch.full((4,), 2.0)) == 0
    assert measures.histogram(NEGATIVE).sum() == pytest.approx(1)


def test_alignment_and_uniformity_are_wang_and_isolas():
    assert measures.alignment(POSITIVE) == pytest.approx(sum(d**2 for d in POSITIVE.tolist()) / 5)
    expected = math.log(sum(math.exp(-2 * d**2) for d in NEGATIVE.tolist()) / 7)
    assert measures.uniformity(NEGATIVE) == pytest.approx(expected)
    assert measures.uniformity(torch.zeros(5)) == pytest.approx(0)
