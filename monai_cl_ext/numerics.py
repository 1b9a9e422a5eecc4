# SPDX-License-Identifier: Apache-2.0
"""Float32 or better, whatever the input and autocast say."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The dtype to compute in: float32 for half precision, else the dtype itself."""
    return torch.promote_types(dtype, torch.float32)


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over classes of logits (B, classes, ...), in float32 at least."""
    return logits.to(at_least_float32(logits.dtype)).softmax(1)


def joined(*parts: Tensor, dim: int = 0) -> Tensor:
    """Tensors of any floating dtypes joined along an axis, in float32 at least, whatever autocast says."""
    return torch.cat([part.to(at_least_float32(part.dtype)) for part in parts], dim=dim)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast on ``device``; devices that have no autocast, such as "meta", need none."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
