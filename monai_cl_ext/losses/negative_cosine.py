# SPDX-License-Identifier: Apache-2.0
"""Negative cosine similarity of predictions and fixed targets, the term of the losses without negative pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.distributed import gather_integers
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import mean_over_processes
from monai_cl_ext.numerics import at_least_float32, without_autocast


def negative_cosine(prediction: Tensor, target: Tensor, offset: float = 0.0) -> Tensor:
    """Mean over rows of offset - cos(prediction, target), a scalar of float32 or float64.

    No gradient passes to the target. Over several processes each returns its part of the mean over the rows of all, as
    in :func:`~monai_cl_ext.losses.contrast`; 0 where no process has a row.

    Args:
        prediction, target: (B, D), of any scale.
        offset: 1 makes it a distance, from 0 to 2.

    Raises:
        ValueError: when they are not both (B, D).
    """
    check_embeddings(prediction=prediction, target=target)
    rows = sum(gather_integers(len(prediction), prediction.device))
    with without_autocast(prediction.device):
        dtype = at_least_float32(prediction.dtype)
        directions = [F.normalize(each.to(dtype), dim=1) for each in (prediction, target.detach())]
        total = (offset - (directions[0] * directions[1]).sum(1)).sum()
    return mean_over_processes(total, total.new_full((), rows, dtype=torch.int64))
