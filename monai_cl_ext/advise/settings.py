# SPDX-License-Identifier: Apache-2.0
"""What is compared: a ladder of strengths of a policy, and each of its operations alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monai_cl_ext.advise.policies import ChosenPolicy
from monai_cl_ext.arguments import probability
from monai_cl_ext.transforms import Operation, OperationGroup, ViewPolicy, scale_policy

LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Setting:
    """A policy that views are made with.

    Attributes:
        name: of the strength or of the operation.
        strength: of the policy, 0 to 1.
        policy: the policy.
    """

    name: str
    strength: float
    policy: ViewPolicy


def ladder(chosen: ChosenPolicy, strengths: Sequence[float] = LADDER) -> list[Setting]:
    """The policy at each strength, in rising order; strength 0, where both views are the image, is always there.

    Raises:
        ValueError: when a strength is not from 0 to 1, none is above 0, or an operation has no weaker form.
    """
    rungs = sorted({0.0, *(probability("strengths", strength) for strength in strengths)})
    if len(rungs) < 2:
        raise ValueError(f"strengths must name at least one strength above 0, found {strengths!r}")
    try:
        return [Setting(f"{rung:g}", rung, scale_policy(chosen.policy, rung)) for rung in rungs]
    except NotImplementedError as error:
        raise ValueError(f"policy {chosen.name}: {error}") from error


def each_alone(policy: ViewPolicy) -> list[Setting]:
    """Each random operation of a policy at full strength, beside those that only keep intensities in their range.

    An operation of an ``OperationGroup`` keeps the group's chance. Of several operations of one class the later ones
    are numbered.
    """
    operations = list(_single(policy.operations))
    settings: list[Setting] = []
    for place, (name, operation) in enumerate(operations):
        if operation.columns:
            kept = [other for number, (_, other) in enumerate(operations) if number == place or not other.columns]
            same = sum(before == name for before, _ in operations[:place])
            title = f"{name} {same + 1}" if same else name
            settings.append(Setting(title, 1.0, policy.with_operations(kept)))
    return settings


def _single(operations: Iterable[Operation]) -> Iterator[tuple[str, Operation]]:
    """Each operation with the name of its class; out of a group, behind the group's chance."""
    for operation in operations:
        if isinstance(operation, OperationGroup):
            for name, inner in _single(operation.operations):
                yield name, OperationGroup([inner], operation.probability)
        else:
            yield type(operation).__name__, operation
