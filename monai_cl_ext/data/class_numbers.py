# SPDX-License-Identifier: Apache-2.0
"""Class numbers of a label map: whole, from 0 on, and none that the network does not know."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

NEAR = 0.01  # what conversions and float16 leave of a whole number
EXACT = 1e-4  # what float32 leaves of one that is stored with a slope
PART = 1 << 16
HIGHEST = 255  # labels are kept in one byte


def whole_classes(label: Tensor, file: Any, num_classes: int | None = None) -> Tensor:
    """The label with whole numbers in place of what is within 0.01 of them.

    Args:
        label: of any shape, on the CPU, not empty.
        file: for messages.
        num_classes: the classes are 0 to ``num_classes - 1``; None allows 0 to 255.

    Returns:
        The label itself where it is whole.

    Raises:
        ValueError: when a value is not near a whole number, or no class; the message shows it. A rounded value is
            warned of.
    """
    whole = label
    if not _is_whole(label.numpy()):
        whole = label.round()
        distance = torch.nan_to_num((label - whole).abs(), nan=1.0)  # of infinity too
        worst = distance.flatten().argmax()
        if distance.flatten()[worst] > NEAR:
            raise ValueError(
                f"{file}: expected whole class numbers, found the value {label.flatten()[worst]:g}; renumber the "
                "classes (label_values), and resample labels with mode nearest"
            )
        if distance.flatten()[worst] > EXACT:
            warnings.warn(
                f"{file}: its class numbers are not whole, such as {label.flatten()[worst]:.6g}; they are rounded",
                stacklevel=2,
            )
    highest = HIGHEST if num_classes is None else num_classes - 1
    lowest, found = torch.aminmax(whole)
    if lowest < 0 or found > highest:
        others = [value for value in whole.unique().tolist() if not 0 <= value <= highest]
        expected = f"the classes 0 to {highest}" + ("" if num_classes is None else f" of num_classes {num_classes}")
        raise ValueError(
            f"{file}: expected {expected}, found {', '.join(f'{value:g}' for value in others[:3])}; renumber the "
            "classes (label_values), or set num_classes"
        )
    return whole


def _is_whole(values: np.ndarray) -> bool:
    """Whether all are whole numbers; in parts, since memory that is taken anew costs more than the comparison."""
    flat = values.ravel()
    return all(
        np.array_equal(np.rint(part), part) for part in (flat[at : at + PART] for at in range(0, flat.size, PART))
    )
