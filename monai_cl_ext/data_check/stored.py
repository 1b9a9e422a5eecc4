# SPDX-License-Identifier: Apache-2.0
"""How much disk the prepared volumes will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_cl_ext.data_check.facts import CaseFacts

IMAGE_BYTES, LABEL_BYTES = 2, 1  # float16 and uint8


def stored_bytes(facts: Sequence[CaseFacts], settings: Mapping[str, Any]) -> int:
    """Bytes of the prepared slices of all volumes that could be read, with their labels, in the store of a training.

    Args:
        facts: of the cases.
        settings: slice_axis and image_size of the training.
    """
    height, width = settings["image_size"]
    total = 0
    for one in facts:
        if one.volume is not None:
            bytes_a_pixel = IMAGE_BYTES * one.volume.channels + (LABEL_BYTES if one.segmentation is not None else 0)
            total += one.volume.shape[settings["slice_axis"]] * height * width * bytes_a_pixel
    return total
