# SPDX-License-Identifier: Apache-2.0
"""Many small tensors sent to a device in one copy."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(steps: list[dict[str, Tensor]], device: torch.device, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """All tensors of the steps on the device, in one packed copy for which the host does not wait."""
    parts = [part for step in steps for part in step.values()]
    if not parts:
        return steps
    packed = torch.cat([part.to(dtype).flatten() for part in parts])
    if device.type == "cuda":
        packed = packed.pin_memory()  # only from pinned memory does a copy return before it is done
    pieces = iter(packed.to(device, non_blocking=True).split([part.numel() for part in parts]))
    return [{name: next(pieces).reshape(part.shape) for name, part in step.items()} for step in steps]
