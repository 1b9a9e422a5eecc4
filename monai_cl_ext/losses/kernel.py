# SPDX-License-Identifier: Apache-2.0
"""The one contrastive kernel: rows, a rule for positives, a rule for negatives, and a form."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.distributed import RowGather, world_size
from monai_cl_ext.losses.forms import Form, joint, lowest
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import Rule
from monai_cl_ext.numerics import at_least_float32, without_autocast

# Similarities in memory at a time. On the CPU a tile (4 MiB in float32) stays in the cache between the passes over it;
# on a GPU it is so large that launching its dozen kernels costs little beside running them.
TILE_ELEMENTS = {"cpu": 2**20, "cuda": 2**25}


@plain_tensors
def contrast(
    z: Tensor,
    positive: Rule,
    negative: Rule | None = None,
    *,
    temperature: float,
    candidates: Tensor | None = None,
    form: Form = joint,
    tile: int | None = None,
) -> Tensor:
    """Mean contrastive loss over all terms, in memory that grows with the number of rows, not its square.

    Each row is an anchor; its candidates are the other rows. A candidate is positive where ``positive`` holds, negative
    where ``negative`` holds, and ignored where neither does. The matrix of all pairs is never materialized: the
    similarities of one tile of anchors at a time become the loss and, where needed, its gradient, but no second one. A
    row with values that are not finite makes the loss NaN.

    Over W processes the rows (N, D) and their tags are gathered with gradient. Each process returns
    W * (sum over its anchors) / (terms of all processes): the mean over processes, as DistributedDataParallel takes it
    of the gradients, is the loss and gradient of one process with all rows. Rows (..., N, D) with leading dimensions
    are independent problems under one mean; they stay in their process.

    With ``candidates``, such as the keys and the queue of MoCo, the rows are anchors alone and these are all that they
    are contrasted with. Candidates get no gradient and are not gathered: what other processes hold is among them where
    the caller puts it there. The rules' tags are those of the rows, then those of the candidates.

    Args:
        z: rows (N, D), or (..., N, D), of any scale; normalized here, in float32 at least whatever autocast says.
        positive: which pairs attract.
        negative: which pairs repel; by default every pair that is not positive.
        temperature: divides the cosine similarities; positive.
        candidates: what the rows (N, D) are contrasted with instead of each other, (M, D), of any scale.
        form: ``joint``, ``pairwise`` or ``groupwise(size)``.
        tile: anchors at a time in each problem; by default as many as suit the device.

    Returns:
        The loss, a scalar of float32 or float64; 0, with zero gradient, where no row has a positive.

    Raises:
        TypeError, ValueError: when a rule's tags are not tensors on the device of the rows, one for each row and
            candidate; when candidates are not (M, D), or on another device; when the temperature is not above 0.
        RuntimeError: in the backward pass, for a second derivative (``create_graph=True``).
    """
    _check(z, candidates, positive, negative)
    with without_autocast(z.device):
        rows, temperature = _normalized(z), positive_number("temperature", temperature)
        anchors = range(rows.shape[-2])
        if candidates is not None:
            candidates = _normalized(candidates.detach()).to(rows.dtype)
            anchors = anchors if len(candidates) else range(0)  # without candidates no row has a positive
        elif rows.ndim == 2:
            gather = RowGather(len(rows), rows.device)
            anchors = gather.own
            rows, positive = gather(rows), positive.map_tags(gather)
            negative = None if negative is None else negative.map_tags(gather)
        tile = tile or tile_size(rows.device, (rows if candidates is None else candidates)[..., 0].numel())
        total, terms = _TiledContrast.apply(rows, candidates, anchors, positive, negative, temperature, form, tile)
        if world_size() > 1:
            dist.all_reduce(terms)
        return mean_over_processes(total, terms)


def mean_over_processes(total: Tensor, terms: Tensor) -> Tensor:
    """A process's part of the mean over the terms of all W processes, W * total / terms; see :func:`contrast`.

    Args:
        total: sum of this process's terms, a scalar.
        terms: number of terms of all processes; where it is 0 the result is ``total``.
    """
    return total * world_size() / terms.clamp_min(1)


def tile_size(device: torch.device, candidates: int, limit: int | None = None) -> int:
    """Number of anchors in a tile, at least one.

    Args:
        device: of the rows.
        candidates: similarities of one anchor of each problem, summed over the problems.
        limit: upper limit of the similarities in memory at a time, for callers that need more memory for each.
    """
    elements = TILE_ELEMENTS.get(device.type, 2**20)
    return max(1, min(elements, limit or elements) // max(1, candidates))


def _normalized(rows: Tensor) -> Tensor:
    return F.normalize(rows.to(at_least_float32(rows.dtype)), dim=-1)


def _check(z: Tensor, candidates: Tensor | None, *rules: Rule | None) -> None:
    """Tags elsewhere would be copied tile by tile without notice, and each copy would synchronize with the device."""
    tags = [tag for rule in rules if rule is not None for tag in rule.tags]
    for tag in tags:
        if not isinstance(tag, Tensor):
            raise TypeError(f"tags must be tensors, found {type(tag).__name__}: give torch.as_tensor of it")
    found = {tag.device for tag in tags} - {z.device}
    if found:
        raise ValueError(
            f"tags must be on the device of the rows, {z.device}, found {', '.join(map(str, found))}: move them there"
        )
    count, covered = z.shape[-2], "row"
    if candidates is not None:
        if z.ndim != 2 or candidates.ndim != 2 or candidates.shape[1] != z.shape[1]:
            raise ValueError(
                f"candidates must be (M, D) for rows (N, D), found {tuple(candidates.shape)} for {tuple(z.shape)}: "
                "give both the same width, and each problem a call of its own"
            )
        if candidates.device != z.device:
            raise ValueError(
                f"candidates must be on the device of the rows, {z.device}, found {candidates.device}: move them there"
            )
        count, covered = count + len(candidates), "row, then of each candidate"
    lengths = {tag.shape[-1] for tag in tags} - {count}
    if lengths:
        raise ValueError(
            f"tags must have {count} values, one of each {covered}, found {', '.join(map(str, sorted(lengths)))}: give "
            "every rule tags of all of them"
        )


class _TiledContrast(torch.autograd.Function):
    """Sum and number of the terms; the gradient is computed in the forward pass: three matrix products in all."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        candidates: Tensor | None,
        anchors: range,
        positive: Rule,
        negative: Rule | None,
        temperature: float,
        form: Form,
        tile: int,
    ) -> tuple[Tensor, Tensor]:
        leading = rows.shape[:-2]
        z = rows.unsqueeze(0).flatten(0, -3)
        others = z if candidates is None else candidates.unsqueeze(0)
        count = others.shape[-2]
        seen = slice(None) if candidates is None else slice(rows.shape[-2], None)
        gradient = torch.zeros_like(z) if ctx.needs_input_grad[0] else None
        total, terms = z.new_zeros(()), torch.zeros((), dtype=torch.int64, device=z.device)
        buffer, scratch = (z.new_empty(len(z) * min(tile, len(anchors)) * count) for _ in range(2))
        for start in anchors[::tile]:
            chosen = slice(start, min(start + tile, anchors.stop))
            scaled = z[:, chosen] / temperature
            size = len(z), chosen.stop - start, count
            flat, spare = (memory[: prod(size)].view(size) for memory in (buffer, scratch))
            torch.bmm(scaled, others.mT, out=flat)
            similarity = flat.view(*leading, *size[1:])
            attracts = positive.tile(chosen, seen)
            if candidates is None:
                for matrix, fill_value in (similarity, lowest(z.dtype)), (attracts, False):
                    matrix.diagonal(start, -2, -1).fill_(fill_value)
            repels = None if negative is None else negative.tile(chosen, seen)
            part, number = form(similarity, attracts, repels, spare.view_as(similarity))
            total += part
            terms += number
            if gradient is not None:
                gradient[:, chosen].baddbmm_(flat, others, alpha=1 / temperature)
                if candidates is None:
                    gradient.baddbmm_(flat.mT, scaled)
        if gradient is not None:
            ctx.save_for_backward(gradient.view_as(rows))
        ctx.mark_non_differentiable(terms)
        return total, terms

    @staticmethod
    def backward(ctx: Any, weight: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "contrastive losses have first derivatives only, found create_graph=True in their backward pass: take "
                "gradient penalties and Hessians of other terms, or of torch.nn.functional.cross_entropy over all pairs"
            )
        (gradient,) = ctx.saved_tensors
        return gradient * weight, None, None, None, None, None, None, None
