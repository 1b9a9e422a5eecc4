# SPDX-License-Identifier: Apache-2.0
"""The sigmoid-shaped ramp-up of a consistency weight."""

from __future__ import annotations

from math import exp


def sigmoid_ramp_up(step: float, length: float) -> float:
    """exp(-5 (1 - t)^2) with t = min(step, length) / length (Laine and Aila 2017); 1 for a length of 0.

    Args:
        step: steps made so far, from 0.
        length: steps until the value is 1.

    Raises:
        ValueError: when one of the two is negative.
    """
    if step < 0 or length < 0:
        raise ValueError(f"step and length of a ramp-up must be at least 0, found {step} and {length}")
    return 1.0 if length == 0 else exp(-5 * (1 - min(step, length) / length) ** 2)
