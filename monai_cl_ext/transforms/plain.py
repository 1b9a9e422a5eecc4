# SPDX-License-Identifier: Apache-2.0
"""Tensors without metadata, and without operations that MONAI has put off."""

from __future__ import annotations

import numpy as np
from monai.data import MetaTensor, get_track_meta
from monai.transforms.lazy.functional import apply_pending
from monai.utils import convert_to_tensor
from torch import Tensor


def plain(value: Tensor) -> Tensor:
    """A MetaTensor as the tensor that it holds, sharing memory; other tensors unchanged.

    Operations work on plain tensors: MONAI's metadata follow every torch function, which costs more than small
    operations themselves.
    """
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def settled(img: np.ndarray | Tensor, mode: str | None = None) -> Tensor:
    """An image as a tensor, of MONAI's lazy resampling with its pending operations carried out.

    ``Compose(lazy=True)`` carries them out before each of our transforms; who calls one by hand must not get a view of
    voxels that are still to be resampled.

    Args:
        img: array, tensor or MetaTensor (C, *S).
        mode: "nearest" for label maps; None as the operations say.
    """
    image = convert_to_tensor(img, track_meta=get_track_meta())
    if isinstance(image, MetaTensor) and image.has_pending_operations:
        image, _ = apply_pending(image.clone(), overrides={"mode": "nearest"} if mode == "nearest" else None)
    return image
