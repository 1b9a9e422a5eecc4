# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy between a target of one crop and the logits of another, over all pairs of crops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.losses.kernel import mean_over_processes
from monai_cl_ext.numerics import at_least_float32


def crop_pairs_entropy(crops: Sequence[Tensor], targets: Sequence[Tensor], temperature: float, images: int) -> Tensor:
    """With logits s_v of crop v and the target p_q of crop q, over all q and v with q != v:

        mean over the images of all processes and over all (q, v) of -sum over outputs of p_q log softmax(s_v / T)

    Args:
        crops: logits of all crops, each (B, K).
        targets: distributions of the first of these crops, each (B, K), in float32 or float64.
        temperature: T.
        images: B, summed over all processes; where it is 0 the result is 0.

    Returns:
        This process's part of the mean, a scalar, see ``mean_over_processes``.
    """
    total = targets[0].new_zeros(())
    whole = torch.stack(list(targets)).sum(0)
    for index, crop in enumerate(crops):
        others = [target for number, target in enumerate(targets) if number != index]
        if others:  # the sum of the cross-entropies with each of them; later crops share one target in memory
            target = whole if len(others) == len(targets) else torch.stack(others).sum(0)
            logits = crop.to(at_least_float32(crop.dtype)) / temperature
            total = total + F.cross_entropy(logits, target, reduction="sum")
    pairs = len(targets) * (len(crops) - 1)
    return mean_over_processes(total, total.new_full((), pairs * images, dtype=torch.int64))


def same_shapes(crops: Sequence[Tensor], width: int | None = None) -> bool:
    """Whether all crops are (B, K) with the same B and K, and K is ``width`` where one is given."""
    shapes = {tuple(crop.shape) for crop in crops}
    return len(shapes) == 1 and all(len(shape) == 2 and width in (None, shape[1]) for shape in shapes)
