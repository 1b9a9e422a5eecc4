# SPDX-License-Identifier: Apache-2.0
"""Overlap and surface distances of one segmented case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.metrics.metric import SEGMENTATION


def segmentation_scores(
    prediction: Tensor | NDArray[Any],
    reference: Tensor | NDArray[Any],
    num_classes: int,
    spacing: Sequence[float] | float | None = None,
) -> dict[str, Tensor]:
    """Dice, Jaccard and surface distances of each foreground class of one case.

    A mask's surface is the mask without its erosion by the connectivity-1 element; what lies outside the array is
    background. ``"hd95"`` is the 95th percentile (linear interpolation) of the distances of both surfaces to the other
    one, pooled; ``"asd"`` the mean distance of the prediction's surface to the reference's (medpy's definitions).

    Where both masks are empty, all four are nan. Where one is, Dice and Jaccard are 0 and the distances are the
    array's diagonal, sqrt(sum((shape * spacing)^2)).

    Args:
        prediction, reference: label arrays without batch and channel axis, any number of dimensions, values
            0 ... num_classes - 1 of any dtype.
        num_classes: number of classes, background included.
        spacing: distance between voxels along each axis, or along all; distances come in its unit. None: in voxels.

    Returns:
        ``{"dice", "jaccard", "hd95", "asd"}``, each float64 of shape (num_classes - 1,), for classes 1, 2, ...

    Raises:
        ValueError: when the shapes differ, a value is no label, or the spacing does not fit.
    """
    if positive_integer("num_classes", num_classes) < 2:
        raise ValueError(f"num_classes counts the background, so it must be at least 2, found {num_classes}")
    predicted = _labels("prediction", prediction, num_classes)
    expected = _labels("reference", reference, num_classes)
    if predicted.shape != expected.shape:
        raise ValueError(
            f"prediction and reference must have one shape, found {predicted.shape} and {expected.shape}:"
            " bring the prediction back to the grid of the reference first"
        )
    sampling = _sampling(spacing, predicted.ndim)
    diagonal = math.sqrt(sum((size * step) ** 2 for size, step in zip(predicted.shape, sampling, strict=True)))
    boxes = zip(_boxes(predicted, num_classes), _boxes(expected, num_classes), strict=True)
    rows = []
    for label, (first, second) in enumerate(boxes, start=1):
        if first is None and second is None:
            rows.append((math.nan,) * 4)
        elif first is None or second is None:
            rows.append((0.0, 0.0, diagonal, diagonal))
        else:
            box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
            rows.append(_score(predicted[box] == label, expected[box] == label, sampling))
    table = torch.tensor(rows, dtype=torch.float64)
    return {name: table[:, column].clone() for column, name in enumerate(SEGMENTATION)}


def _score(
    predicted: NDArray[np.bool_], expected: NDArray[np.bool_], sampling: Sequence[float]
) -> tuple[float, float, float, float]:
    """The four scores of two masks that are not empty, cut to their common bounding box (which changes nothing)."""
    both = np.count_nonzero(predicted & expected)
    total = np.count_nonzero(predicted) + np.count_nonzero(expected)
    first, second = _surface(predicted), _surface(expected)
    there = ndimage.distance_transform_edt(~second, sampling=sampling)[first]
    back = ndimage.distance_transform_edt(~first, sampling=sampling)[second]
    farthest = np.percentile(np.concatenate([there, back]), 95)
    return 2 * both / total, both / (total - both), float(farthest), float(there.mean())


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask ^ ndimage.binary_erosion(mask)  # scipy's defaults: connectivity 1, background outside


def _boxes(labels: NDArray[np.int64], num_classes: int) -> list[tuple[slice, ...] | None]:
    return list(ndimage.find_objects(labels, max_label=num_classes - 1))


def _labels(name: str, values: Tensor | NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16
    array = np.asarray(values)
    if array.size == 0 or array.ndim == 0:
        raise ValueError(f"{name} must be an array of labels, found shape {array.shape}")
    labels = array.astype(np.int64) if np.isfinite(array).all() else None
    if labels is None or not np.array_equal(labels, array):
        raise ValueError(f"{name} must hold whole labels, found other numbers: take the argmax of probabilities first")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"{name} must hold labels from 0 to {num_classes - 1} (num_classes={num_classes}),"
            f" found {labels.min()} to {labels.max()}"
        )
    return labels


def _sampling(spacing: Sequence[float] | float | None, dimensions: int) -> tuple[float, ...]:
    if spacing is None:
        return (1.0,) * dimensions
    steps: Sequence[float] = (spacing,) * dimensions if isinstance(spacing, Real) else spacing  # type: ignore
    if len(steps) != dimensions:
        raise ValueError(
            f"spacing must have one number for each of the {dimensions} axes of the labels, found {len(steps)}:"
            " labels come without batch and channel axis"
        )
    return tuple(positive_number("spacing", float(step)) for step in steps)
