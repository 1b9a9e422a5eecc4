# SPDX-License-Identifier: Apache-2.0
"""Random places to divide the rows of a batch at."""

from __future__ import annotations

from collections.abc import Sequence

import torch

TWENTIETHS = 20  # the batch of the paper


def random_cuts(rows: int, ranges: Sequence[tuple[int, int]]) -> list[int]:
    """One number of rows for each range, uniform between its ends, which are given for a batch of 20 and scaled.

    Drawn on the CPU from torch's own generator, which ``handlers.EpochSeed`` seeds.

    Args:
        rows: of the batch.
        ranges: first and last number of 20 rows, both included; both are rounded down.
    """
    ends = [(rows * first // TWENTIETHS, rows * last // TWENTIETHS) for first, last in ranges]
    return [int(torch.randint(first, last + 1, (), device="cpu")) for first, last in ends]
