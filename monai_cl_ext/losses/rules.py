# SPDX-License-Identifier: Apache-2.0
"""Rules say which pairs of rows are meant, from facts that each row carries: its tags."""

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
    """A predicate on the tags of an anchor and of a candidate, evaluated for a tile of pairs at a time.

    Rules combine with ``&``, ``|`` and ``~``. What a rule says of a row and itself is never asked.

    Args:
        tags: tensors of shape (..., N), one value per row; leading dimensions as those of the rows, or to be broadcast.
        holds: given the anchors' tags, each (..., T, 1), and the candidates' tags, each (..., 1, N), returns a new
            boolean tensor (..., T, N).
    """

    tags: TagValues
    holds: Callable[[TagValues, TagValues], Tensor]

    def tile(self, anchors: slice) -> Tensor:
        """Whether the rule holds for the rows ``anchors`` against all rows, boolean (..., T, N)."""
        return self.holds(
            tuple(tag[..., anchors].unsqueeze(-1) for tag in self.tags), tuple(tag.unsqueeze(-2) for tag in self.tags)
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


def same(tag: Tensor) -> Rule:
    """Pairs whose tags are equal."""
    return Rule((tag,), lambda anchor, candidate: anchor[0] == candidate[0])


def different(tag: Tensor) -> Rule:
    """Pairs whose tags are not equal."""
    return Rule((tag,), lambda anchor, candidate: anchor[0] != candidate[0])


def matching(wanted: Tensor, tag: Tensor) -> Rule:
    """Pairs in which the candidate's ``tag`` is the one that the anchor has ``wanted``."""
    return Rule((wanted, tag), lambda anchor, candidate: anchor[0] == candidate[1])


def both_known(tag: Tensor) -> Rule:
    """Pairs in which neither tag is negative; -1 stands for "not known"."""
    return Rule((tag,), lambda anchor, candidate: (anchor[0] >= 0) & (candidate[0] >= 0))


def same_sample(count: int, views: int, device: torch.device) -> Rule:
    """Pairs of rows of one sample; the rows are ``views`` views of this process's ``count`` samples, view by view."""
    return same(sample_tags(count, device).repeat(views))


def sample_tags(count: int, device: torch.device) -> Tensor:
    """One tag for each of this process's ``count`` samples, int64 (count,), unique over all processes."""
    return torch.arange(count, device=device) + (rank() << 32)
