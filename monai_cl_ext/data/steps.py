# SPDX-License-Identifier: Apache-2.0
"""What the steps of all processes draw: permutations one after the other, cut into steps."""

from __future__ import annotations

import numpy as np


def steps_without_repeats(total: int, size: int, steps: int, generator: np.random.Generator) -> np.ndarray:
    """Numbers below ``total`` for every step, (steps, size), none twice in a step, all equally often, give or take one.

    Args:
        total: at least ``size``.
        size: numbers a step.
        steps: how many.
        generator: of the permutations.
    """
    order = np.empty(0, dtype=np.int64)
    while len(order) < steps * size:
        # A step may take the end of one permutation and the start of the next: the start avoids what the end holds.
        end = order[len(order) - len(order) % size :]
        fresh = generator.permutation(np.setdiff1d(np.arange(total), end))
        start = fresh[: -len(order) % size]
        rest = generator.permutation(np.setdiff1d(np.arange(total), start))
        order = np.concatenate([order, start, rest])
    return order[: steps * size].reshape(steps, size)
