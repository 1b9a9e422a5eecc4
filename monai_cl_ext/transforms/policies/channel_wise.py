# SPDX-License-Identifier: Apache-2.0
"""Any view policy with draws for each channel of an image in place of one for all."""

from __future__ import annotations

from ..operations.channel_wise import ChannelWise
from ..operations.one_operation import OneOperation
from ..operations.operation import IntensityOperation, Operation
from ..operations.operation_group import OperationGroup
from .policy import ViewPolicy


def channel_wise_policy(policy: ViewPolicy, channels: int) -> ViewPolicy:
    """The policy whose brightness, contrast, blur, noise, bias field and solarization differ between channels.

    What acts on colors, on the range of intensities or on places of the image (cut-out, swapped patches) stays as it
    is, and so does all motion. With one channel the draws are the policy's own.

    Args:
        policy: whose operations share one draw for all channels of a sample.
        channels: of the images.
    """
    return policy.with_operations([_by_channel(operation, channels) for operation in policy.operations])


def _by_channel(operation: Operation, channels: int) -> Operation:
    if isinstance(operation, OperationGroup):
        members = [_by_channel(member, channels) for member in operation.operations]
        return OperationGroup(members, operation.probability)
    if isinstance(operation, OneOperation):
        kinds = [_kind_by_channel(kind, channels) for kind in operation.operations]
        return OneOperation(kinds, operation.probabilities)
    return _kind_by_channel(operation, channels) if isinstance(operation, IntensityOperation) else operation


def _kind_by_channel(operation: IntensityOperation, channels: int) -> IntensityOperation:
    return ChannelWise(operation, channels) if operation.by_channel else operation
