# SPDX-License-Identifier: Apache-2.0
"""The ramp-up: its values, and steps that make no sense."""

import math

import pytest

from monai_cl_ext.losses import sigmoid_ramp_up


def test_values_are_those_of_the_formula():
    assert sigmoid_ramp_up(0, 40) == pytest.approx(0.006737946999085467, rel=1e-12)  # exp(-5)
    assert sigmoid_ramp_up(10, 40) == pytest.approx(math.exp(-5 * 0.75**2), rel=1e-12)
    assert sigmoid_ramp_up(20, 40) == pytest.approx(math.exp(-1.25), rel=1e-12)
    assert sigmoid_ramp_up(0.5, 1) == pytest.approx(math.exp(-1.25), rel=1e-12)
    assert sigmoid_ramp_up(40, 40) == sigmoid_ramp_up(41, 40) == sigmoid_ramp_up(10**9, 40) == 1.0


def test_it_rises_all_the_way():
    values = [sigmoid_ramp_up(step, 30) for step in range(31)]
    assert values == sorted(set(values))


def test_without_length_it_is_1_at_once():
    assert sigmoid_ramp_up(0, 0) == sigmoid_ramp_up(5, 0) == 1.0


@pytest.mark.parametrize("step, length", [(-1, 5), (1, -5), (-1, 0)])
def test_negative_numbers_are_refused(step, length):
    with pytest.raises(ValueError, match=f"must be at least 0, found {step} and {length}"):
        sigmoid_ramp_up(step, length)
