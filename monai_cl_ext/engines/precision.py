# SPDX-License-Identifier: Apache-2.0
"""Mixed precision where the hardware has it."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch

from monai_cl_ext.numerics import without_autocast


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 kernels; on a CPU oneDNN's, which need AVX-512, AMX or their like."""
    if device.type != "cpu":
        return True
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: torch.device, amp: bool, **kwargs: Any) -> AbstractContextManager[object]:
    """Autocast to bfloat16; off, with a warning, on a CPU that would compute it some twenty times slower than float32.

    Args:
        device: where the network is.
        amp: whether mixed precision is wanted.
        kwargs: of ``torch.autocast``, such as ``cache_enabled``; read where mixed precision is wanted.

    Raises:
        ValueError: when they ask for float16, whose small gradients vanish without a scaler.
    """
    if amp and kwargs.get("dtype") == torch.float16:
        raise ValueError(
            "amp_kwargs: dtype must be torch.bfloat16, found torch.float16, which needs its gradients scaled and gets "
            "no scaler here; leave dtype out"
        )
    if amp and not computes_bfloat16(device):
        warnings.warn(
            "amp=True: this CPU has no kernels for bfloat16 and would be some twenty times slower with it; training "
            "goes on in float32. amp=False says the same without this warning",
            stacklevel=2,
        )
        amp = False
    return torch.autocast(device.type, **{"dtype": torch.bfloat16, **kwargs}) if amp else without_autocast(device)
