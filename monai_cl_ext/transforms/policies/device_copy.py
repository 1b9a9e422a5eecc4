# SPDX-License-Identifier: Apache-2.0
"""Many small tensors sent to a device in one copy."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext.pinned import pinned_copy


def to_device(steps: list[dict[str, Tensor]], device: torch.device, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """All tensors of the steps on the device, in one packed copy for which the host does not wait."""
    parts = [part for step in steps for part in step.values()]
    if not parts:
        return steps
    packed = torch.cat([part.to(dtype).flatten() for part in parts])
    pieces = iter(pinned_copy(packed, device).split([part.numel() for part in parts]))
    return [{name: next(pieces).reshape(part.shape) for name, part in step.items()} for step in steps]
