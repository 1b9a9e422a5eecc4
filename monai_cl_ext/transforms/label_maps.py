# SPDX-License-Identifier: Apache-2.0
"""Checks of a batch of label maps."""

from __future__ import annotations

from torch import Tensor

from monai_cl_ext.device_checks import check_classes
from monai_cl_ext.transforms.plain import plain


def checked_labels(labels: Tensor, num_classes: int, remedy: str) -> Tensor:
    """Labels (B, 1, *S) as a plain tensor, if all are classes from 0 to ``num_classes`` - 1.

    Raises:
        ValueError: when they have another shape or, on the CPU, another class; on CUDA that is an assertion of the
            device, see ``check_classes``.
    """
    if labels.ndim < 3 or labels.shape[1] != 1:
        raise ValueError(f"labels must be (B, 1, *S), found {tuple(labels.shape)}")
    labels = plain(labels)
    check_classes("labels", labels, num_classes, remedy)
    return labels
