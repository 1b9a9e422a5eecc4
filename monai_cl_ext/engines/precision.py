# SPDX-License-Identifier: Apache-2.0
"""Mixed precision where the hardware has it."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager

import torch

from monai_cl_ext.numerics import without_autocast


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 kernels; on a CPU oneDNN's, which need AVX-512, AMX or their like."""
    if device.type != "cpu":
        return True
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: torch.device, amp: bool) -> AbstractContextManager[object]:
    """Autocast to bfloat16; off, with a warning, on a CPU that would compute it some twenty times slower than float32.

    Args:
        device: where the network is.
        amp: whether mixed precision is wanted.
    """
    if amp and not computes_bfloat16(device):
        warnings.warn(
            "amp=True: this CPU has no kernels for bfloat16 and would be some twenty times slower with it; training "
            "goes on in float32. amp=False says the same without this warning",
            stacklevel=2,
        )
        amp = False
    return torch.autocast(device.type, torch.bfloat16) if amp else without_autocast(device)
