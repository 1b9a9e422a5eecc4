# SPDX-License-Identifier: Apache-2.0
"""Tensors without metadata."""

from __future__ import annotations

from monai.data import MetaTensor
from torch import Tensor


def plain(value: Tensor) -> Tensor:
    """A MetaTensor as the tensor that it holds, sharing memory; other tensors unchanged.

    Operations work on plain tensors: MONAI's metadata follow every torch function, which costs more than small
    operations themselves.
    """
    return value.as_tensor() if isinstance(value, MetaTensor) else value
