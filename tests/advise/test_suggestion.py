# SPDX-License-Identifier: Apache-2.0
"""The score peaks half way, and the suggestion is where the curve crosses it."""

import pytest

from monai_cl_ext.advise.suggestion import reasons, score, suggested_strength


def test_the_score_peaks_half_way_between_certainty_and_none():
    assert [score(auc) for auc in (1.0, 0.75, 0.5, 0.3)] == [0, 1, 0, 0]
    assert score(0.875) == score(0.625) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "strengths, aucs, expected",
    [((0, 0.5, 1), (1, 0.85, 0.65), 0.75),  # half way between 0.5 and 1
     ((0, 0.5, 1), (1, 0.85, 0.66), 0.75),  # 0.763, rounded down
     ((0, 0.5, 1), (1, 0.9, 0.75), 1.0), ((0, 0.5, 0.8), (1, 0.9, 0.9), 0.8),  # never below: the largest
     ((0, 0.5, 1), (1, 0.5, 0.5), 0.25), ((0, 0.01), (1, 0.5), 0.05),  # never none at all
     ((0, 0.5, 1), (1, 0.7, 0.8), 1.0),  # the largest, though the curve dips before
     ((0, 0.5, 1), (0.6, 0.55, 0.5), 0.05)],
)  # fmt: skip
def test_the_suggestion_is_the_largest_strength_that_keeps_pairs_apart(strengths, aucs, expected):
    assert suggested_strength(strengths, aucs) == expected


def test_the_reason_says_what_was_seen():
    assert "passes 0.75 at about 0.6" in reasons((0, 1), (1, 0.6), 0.6)[-1]
    assert "still 0.75 or more" in reasons((0, 1), (1, 0.8), 1.0)[-1]
    assert "from 1.00 to 0.60" in reasons((0, 1), (1, 0.6), 0.6)[-1]
