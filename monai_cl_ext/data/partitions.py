# SPDX-License-Identifier: Apache-2.0
"""Which partition a slice belongs to."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of, positive_integer

PARTITION_RULES = ("even", "released")


def slice_partitions(slices: int, partitions: int, rule: str = "even") -> Tensor:
    """Partition of each slice of a volume, int64 (slices,).

    Args:
        slices: n, number of slices.
        partitions: S, number of partitions (Chaitanya et al. 2020, section 3.2).
        rule: "even": floor(i S / n), every slice in one and sizes that differ by at most one. "released": the paper's
            code, boundaries k floor(n / S); the last n mod S slices are in none and carry -1.

    Raises:
        ValueError: when the rule is unknown or a number is not a positive integer.
    """
    one_of("rule", rule, PARTITION_RULES)
    positive_integer("slices", slices)
    positive_integer("partitions", partitions)
    index = torch.arange(slices)
    if rule == "even":
        return index * partitions // slices
    length = slices // partitions
    return torch.where(index < partitions * length, index // max(length, 1), -1)
