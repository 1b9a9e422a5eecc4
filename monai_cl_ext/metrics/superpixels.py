# SPDX-License-Identifier: Apache-2.0
"""How well maps of superpixels keep to the borders of labeled structures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor


def superpixel_report(
    maps: Tensor | NDArray[Any], reference_labels: Tensor | NDArray[Any], tolerance: int = 1
) -> dict[str, Tensor]:
    """Counts, sizes and the three usual scores of superpixel maps, for each map of a batch.

    - ``segments``: labels found; ``smallest``, ``median``, ``largest``: their sizes in pixels.
    - ``achievable_accuracy`` (ASA, Liu et al., CVPR 2011): accuracy when each segment takes the label that most of its
      pixels have.
    - ``boundary_recall``: share of the reference's boundary pixels that have a boundary pixel of the map within
      ``tolerance`` along every axis. A boundary pixel has a neighbor of another label across a face, so there are
      such pixels on both sides. nan where the reference has one label only.
    - ``undersegmentation_error`` (Neubert and Protzel, 2012): for each label and each segment that it touches, the
      smaller of the parts inside and outside the label; summed, divided by the pixels.

    Args:
        maps: (N, *S) integer labels, of any numbering.
        reference_labels: (N, *S) integers, background included.
        tolerance: pixels.

    Returns:
        The seven entries, each float64 of shape (N,).

    Raises:
        ValueError: when shapes differ or are empty, a label is not whole, or the tolerance is negative.
    """
    segments, reference = _whole("maps", maps), _whole("reference_labels", reference_labels)
    if segments.shape != reference.shape:
        raise ValueError(
            f"maps and reference_labels must have one shape (N, *S), found {segments.shape} and {reference.shape}:"
            " leave out channel axes"
        )
    if isinstance(tolerance, bool) or not isinstance(tolerance, int) or tolerance < 0:
        raise ValueError(f"tolerance must be a whole number of pixels, at least 0, found {tolerance!r}")
    rows = [_scores(each, labels, tolerance) for each, labels in zip(segments, reference, strict=True)]
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]}


def _scores(segments: NDArray[np.int64], reference: NDArray[np.int64], tolerance: int) -> dict[str, float]:
    names, segment = np.unique(segments, return_inverse=True)
    labels, label = np.unique(reference, return_inverse=True)
    table = np.zeros((len(names), len(labels)), dtype=np.int64)
    np.add.at(table, (segment.ravel(), label.ravel()), 1)
    sizes = table.sum(1)
    leaking = np.minimum(table, sizes[:, None] - table)  # 0 where a segment does not touch a label
    return {
        "segments": len(names),
        "smallest": sizes.min(),
        "median": float(np.median(sizes)),
        "largest": sizes.max(),
        "achievable_accuracy": table.max(1).sum() / segments.size,
        "boundary_recall": _recall(segments, reference, tolerance),
        "undersegmentation_error": leaking.sum() / segments.size,
    }


def _recall(segments: NDArray[np.int64], reference: NDArray[np.int64], tolerance: int) -> float:
    wanted = _boundary(reference)
    if not wanted.any():
        return float("nan")
    near = ndimage.maximum_filter(_boundary(segments), size=2 * tolerance + 1, mode="constant", cval=0)
    return float(near[wanted].mean())


def _boundary(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros(labels.shape, dtype=bool)
    for axis in range(labels.ndim):
        change = np.diff(labels, axis=axis) != 0
        before, after = [slice(None)] * labels.ndim, [slice(None)] * labels.ndim
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        found[tuple(before)] |= change
        found[tuple(after)] |= change
    return found


def _whole(name: str, values: Tensor | NDArray[Any]) -> NDArray[np.int64]:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} must be (N, *S) and not empty, found shape {array.shape}")
    whole = array.astype(np.int64) if np.isfinite(array).all() else None
    if whole is None or not np.array_equal(whole, array):
        raise ValueError(f"{name} must hold whole labels, found other numbers")
    return whole
