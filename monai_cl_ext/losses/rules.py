# SPDX-License-Identifier: Apache-2.0
"""Rules: predicates that select positive and negative pairs of rows by the rows' tags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from monai_cl_ext.distributed import rank

TagValues: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True)
class Rule:
    """A predicate on the tags of an anchor and of a candidate, evaluated tile by tile.

    Rules combine with ``&``, ``|`` and ``~``. The diagonal, a row paired with itself, is ignored.

    Args:
        tags: tensors of shape (..., N), one value per row; leading dimensions as those of the rows, or to be broadcast.
        holds: given the anchors' tags, each (..., T, 1), and the candidates' tags, each (..., 1, N), returns a new
            boolean tensor (..., T, N).
    """

    tags: TagValues
    holds: Callable[[TagValues, TagValues], Tensor]

    def tile(self, anchors: slice, candidates: slice = slice(None)) -> Tensor:
        """Whether the rule holds for the rows ``anchors`` against the rows ``candidates``, boolean (..., T, N)."""
        return self.holds(
            tuple(tag[..., anchors].unsqueeze(-1) for tag in self.tags),
            tuple(tag[..., candidates].unsqueeze(-2) for tag in self.tags),
        )

    def map_tags(self, function: Callable[[Tensor], Tensor]) -> Rule:
        """The same rule on other tags, for example those of all processes."""
        return Rule(tuple(function(tag) for tag in self.tags), self.holds)

    def __and__(self, other: Rule) -> Rule:
        return self._combined(other, torch.logical_and)

    def __or__(self, other: Rule) -> Rule:
        return self._combined(other, torch.logical_or)

    def __invert__(self) -> Rule:
        return Rule(self.tags, lambda anchor, candidate: ~self.holds(anchor, candidate))

    def _combined(self, other: Rule, operator: Callable[[Tensor, Tensor], Tensor]) -> Rule:
        own = len(self.tags)
        return Rule(
            self.tags + other.tags,
            lambda anchor, candidate: operator(
                self.holds(anchor[:own], candidate[:own]), other.holds(anchor[own:], candidate[own:])
            ),
        )


Rules: TypeAlias = tuple[Rule, Rule | None]
"""The rules (positive, negative) of a loss; None for negatives: every pair that is not positive."""


def same(tag: Tensor) -> Rule:
    """Pairs whose tags are equal."""
    return Rule((tag,), lambda anchor, candidate: anchor[0] == candidate[0])


def different(tag: Tensor) -> Rule:
    """Pairs whose tags are not equal."""
    return Rule((tag,), lambda anchor, candidate: anchor[0] != candidate[0])


def matching(wanted: Tensor, tag: Tensor) -> Rule:
    """Pairs in which the candidate's ``tag`` equals the anchor's ``wanted``."""
    return Rule((wanted, tag), lambda anchor, candidate: anchor[0] == candidate[1])


def both_known(tag: Tensor) -> Rule:
    """Pairs in which neither tag is negative; -1 stands for "unknown"."""
    return Rule((tag,), lambda anchor, candidate: (anchor[0] >= 0) & (candidate[0] >= 0))


def nearer_than(distance: float, *coordinates: Tensor) -> Rule:
    """Pairs whose positions, each given by its coordinates, are less than ``distance`` apart (Euclidean)."""

    def holds(anchor: TagValues, candidate: TagValues) -> Tensor:
        steps = [(first - second).abs_() for first, second in zip(anchor, candidate, strict=True)]
        return (steps[0] if len(steps) == 1 else torch.stack(steps).norm(dim=0)) < distance

    return Rule(coordinates, holds)


def sample_tags(count: int, device: torch.device) -> Tensor:
    """The tags of this process's ``count`` samples, int64 (count,), unique over all processes."""
    return torch.arange(count, device=device) + (rank() << 32)


def pair_matrices(rules: Rules, rows: int) -> tuple[Tensor, Tensor]:
    """Rules evaluated for all pairs of rows, for figures and tests.

    Args:
        rules: what a loss's ``rules`` returns.
        rows: number of rows N.

    Returns:
        (positive, negative), boolean (N, N), False on the diagonal.
    """
    positive = rules[0].tile(slice(0, rows))
    negative = ~positive if rules[1] is None else rules[1].tile(slice(0, rows))
    return positive.fill_diagonal_(False), negative.fill_diagonal_(False)
