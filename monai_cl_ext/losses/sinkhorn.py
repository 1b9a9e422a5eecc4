# SPDX-License-Identifier: Apache-2.0
"""Sinkhorn-Knopp: soft assignments that use all prototypes alike."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.distributed import world_size
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.numerics import at_least_float32, without_autocast


@plain_tensors
@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Assigns rows to prototypes, equally many to each (Cuturi 2013; Caron et al. 2020, "SwAV", section 3.1).

    exp(scores / epsilon) is scaled so that the sums over the rows are the same for all prototypes, then so that each
    row sums to 1, and so on. It is computed with logarithms, each sum with its largest term taken out, so that scores
    of any size stay finite. Over several processes the sums run over the rows of all: two processes equal one.

    Args:
        scores: of each row and prototype, (B, K), used as they come; no gradient passes.
        epsilon: smooths the assignments; positive.
        iterations: of both scalings.

    Returns:
        Assignments (B, K) in float32 or float64; each row sums to 1.

    Raises:
        ValueError: when scores are not (B, K), epsilon is not positive or there is no iteration.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be (B, K), one for each row and prototype, found {tuple(scores.shape)}")
    positive_number("epsilon", epsilon)
    with without_autocast(scores.device):
        logarithm = scores.to(at_least_float32(scores.dtype)) / epsilon
        # What else the paper divides by, the total, K and B, are factors of all entries that the next scaling removes.
        for _ in range(positive_integer("iterations", iterations)):
            logarithm = (logarithm - _logarithm_of_sums(logarithm)).log_softmax(dim=1)
        return logarithm.exp()


def _logarithm_of_sums(logarithm: Tensor) -> Tensor:
    """Of the sums over the rows of all processes, (K,)."""
    own = logarithm.logsumexp(dim=0)
    if world_size() == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.stack(parts).logsumexp(dim=0)
