# SPDX-License-Identifier: Apache-2.0
"""Copies from the host to a device for which the host does not wait."""

from __future__ import annotations

import torch
from torch import Tensor


def pinned_copy(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor of the host on a device; to a GPU through pinned memory, from which alone a copy does not wait."""
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)
