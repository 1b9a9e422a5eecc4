# SPDX-License-Identifier: Apache-2.0
"""The parts of a view policy: what changes intensities, and what moves content."""

from __future__ import annotations

from ..operations.operation import Operation, SpatialOperation
from ..operations.operation_group import flattened
from .policy import ViewPolicy


def intensity_part(policy: ViewPolicy) -> ViewPolicy:
    """The policy without its spatial operations: every place of the image stays where it is.

    Raises:
        ValueError: when a group holds operations of both kinds, which cannot be parted.
    """
    return policy.with_operations([operation for operation in policy.operations if not _moves(operation)])


def spatial_part(policy: ViewPolicy) -> ViewPolicy:
    """The policy without its intensity operations; raises as :func:`intensity_part`."""
    return policy.with_operations([operation for operation in policy.operations if _moves(operation)])


def _moves(operation: Operation) -> bool:
    kinds = {isinstance(member, SpatialOperation) for member in flattened([operation])}
    if len(kinds) > 1:
        raise ValueError(
            "a group of the policy holds spatial and intensity operations, which this method applies to different "
            "views; put them into two groups"
        )
    return kinds.pop()
