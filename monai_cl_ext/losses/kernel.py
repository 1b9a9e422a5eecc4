# SPDX-License-Identifier: Apache-2.0
"""The one contrastive kernel: rows, a rule for positives, a rule for negatives, and a form."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from monai_cl_ext.distributed import RowGather, world_size
from monai_cl_ext.losses.forms import Form, joint, lowest
from monai_cl_ext.losses.rules import Rule

# Similarities held at a time. On the CPU a tile (4 MiB in float32) stays in the cache between the passes over it;
# on a GPU it is large enough that launching its dozen kernels is cheap beside running them.
TILE_ELEMENTS = {"cpu": 2**20, "cuda": 2**25}


def contrast(
    z: Tensor,
    positive: Rule,
    negative: Rule | None = None,
    *,
    temperature: float,
    form: Form = joint,
    tile: int | None = None,
) -> Tensor:
    """Mean contrastive loss over the terms of a form, in memory that grows with the number of rows, not its square.

    Each row is an anchor; its candidates are the other rows. A candidate is positive where ``positive`` holds, negative
    where ``negative`` holds, and takes no part where neither does. No matrix of all pairs is ever kept: similarities
    live for one tile of anchors, which leaves the loss and, where needed, its gradient behind. A row whose values are
    not finite makes the loss NaN.

    Over W processes the rows (N, D) and their tags are those of all processes, with gradient. Each process returns
    W * (sum over its anchors) / (terms of all processes), so that the mean over processes of loss and gradient, as
    DistributedDataParallel takes it, is that of one process with all rows. Rows (..., N, D) with leading dimensions
    are independent problems under one mean; they stay in their process.

    Args:
        z: rows (N, D), or (..., N, D), of any scale; normalised here, in float32 at least whatever autocast says.
        positive: which pairs attract.
        negative: which pairs repel; by default every pair that is not positive.
        temperature: divides the cosine similarities.
        form: ``joint`` or ``pairwise``.
        tile: anchors at a time in each problem; by default as many as suit the device.

    Returns:
        The loss, a scalar of float32 or float64; 0, with zero gradient, where no row has a positive.
    """
    with torch.autocast(z.device.type, enabled=False):
        rows = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=-1)
        anchors = range(rows.shape[-2])
        if rows.ndim == 2:
            gather = RowGather(len(rows), rows.device)
            anchors = gather.own
            rows, positive = gather(rows), positive.map_tags(gather)
            negative = None if negative is None else negative.map_tags(gather)
        tile = tile or tile_size(rows.device, rows[..., 0].numel())
        total, terms = _TiledContrast.apply(rows, anchors, positive, negative, temperature, form, tile)
        if world_size() > 1:
            dist.all_reduce(terms)
        return total * world_size() / terms.clamp_min(1)


def tile_size(device: torch.device, candidates: int, limit: int | None = None) -> int:
    """Anchors at a time where each has so many candidates in all problems; at least one.

    Args:
        device: of the rows.
        candidates: similarities of one anchor in each problem, over all problems.
        limit: similarities that may be held at a time, where the caller needs more memory for each.
    """
    elements = TILE_ELEMENTS.get(device.type, 2**20)
    return max(1, min(elements, limit or elements) // max(1, candidates))


class _TiledContrast(torch.autograd.Function):
    """Sum and number of the terms; the gradient is complete when the forward pass is: three products of matrices."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        anchors: range,
        positive: Rule,
        negative: Rule | None,
        temperature: float,
        form: Form,
        tile: int,
    ) -> tuple[Tensor, Tensor]:
        leading, count = rows.shape[:-2], rows.shape[-2]
        z = rows.unsqueeze(0).flatten(0, -3)
        gradient = torch.zeros_like(z) if ctx.needs_input_grad[0] else None
        total, terms = z.new_zeros(()), torch.zeros((), dtype=torch.int64, device=z.device)
        buffer, scratch = (z.new_empty(len(z) * min(tile, len(anchors)) * count) for _ in range(2))
        for start in anchors[::tile]:
            chosen = slice(start, min(start + tile, anchors.stop))
            scaled = z[:, chosen] / temperature
            size = len(z), chosen.stop - start, count
            flat, spare = (memory[: prod(size)].view(size) for memory in (buffer, scratch))
            torch.bmm(scaled, z.mT, out=flat)
            similarity = flat.view(*leading, *size[1:])
            attracts = positive.tile(chosen)
            for matrix, itself in (similarity, lowest(z.dtype)), (attracts, False):
                matrix.diagonal(start, -2, -1).fill_(itself)
            repels = None if negative is None else negative.tile(chosen)
            part, number = form(similarity, attracts, repels, spare.view_as(similarity))
            total += part
            terms += number
            if gradient is not None:
                gradient[:, chosen].baddbmm_(flat, z, alpha=1 / temperature)
                gradient.baddbmm_(flat.mT, scaled)
        if gradient is not None:
            ctx.save_for_backward(gradient.view_as(rows))
        ctx.mark_non_differentiable(terms)
        return total, terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * weight, None, None, None, None, None, None
