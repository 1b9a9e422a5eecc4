# SPDX-License-Identifier: Apache-2.0
"""Tells how much of each class cropping cuts away."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor

WORTH_TELLING = 0.001
"""A share of a class; resampling moves borders by less than a voxel."""

ROUNDING = 1e-3  # of affines in float32

ClassCounts = dict[int, tuple[int, int]]
"""Voxels cut away and voxels of each foreground class."""


def cut_away(before: MetaTensor, after: MetaTensor) -> ClassCounts:
    """Counts the voxels of a label map that lie outside the box of what is left of it.

    Args:
        before: (1, *S) as it was read.
        after: (1, *T) after resampling, cropping and padding along the same axes.

    Returns:
        Of each foreground class; empty where the whole box is left.
    """
    axes = before.ndim - 1
    to_before = np.linalg.solve(before.affine.double().cpu().numpy(), after.affine.double().cpu().numpy())
    ends = np.array([[-0.5] * axes, [length - 0.5 for length in after.shape[1:]]])
    ends = ends @ to_before[:axes, :axes].T + to_before[:axes, -1]
    firsts, lasts = np.ceil(ends.min(0) - ROUNDING), np.floor(ends.max(0) + ROUNDING)  # by the voxels' centers
    box = [slice(max(int(first), 0), max(int(last) + 1, 0)) for first, last in zip(firsts, lasts, strict=True)]
    if all(part.start == 0 and part.stop >= length for part, length in zip(box, before.shape[1:], strict=True)):
        return {}
    label = before.as_tensor()[0].long()
    counts = torch.bincount(label.flatten())
    left = torch.bincount(label[tuple(box)].flatten(), minlength=len(counts))
    return {
        number: (int(counts[number] - left[number]), int(counts[number]))
        for number in range(1, len(counts))
        if counts[number]
    }


def warn_of_cut_classes(files: Sequence[str], counts: Sequence[ClassCounts]) -> None:
    """One warning of the share of each class that cropping cuts away from all volumes together.

    Args:
        files: of the labels.
        counts: of each of them, see :func:`cut_away`.
    """
    totals: dict[int, list[int]] = {}
    for found in counts:
        for number, (cut, voxels) in found.items():
            total = totals.setdefault(number, [0, 0])
            total[0] += cut
            total[1] += voxels
    shares = {number: cut / voxels for number, (cut, voxels) in sorted(totals.items())}
    if not any(share >= WORTH_TELLING for share in shares.values()):
        return
    lost = ", ".join(f"{share:.1%} of class {number}" for number, share in shares.items() if share >= WORTH_TELLING)
    worst = max(range(len(files)), key=lambda place: sum(cut for cut, _ in counts[place].values()))
    warnings.warn(
        f"cropping cuts away {lost} from the labels of the volumes that it crops, most of {files[worst]}; give a "
        "larger image_size or a larger pixdim",
        stacklevel=2,
    )
