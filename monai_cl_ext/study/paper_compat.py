# SPDX-License-Identifier: Apache-2.0
"""The scores as the PCL and SuperCL releases compute them, to be laid beside a published table and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.splits import Case
from monai_cl_ext.metrics.metric import METRICS, SEGMENTATION
from monai_cl_ext.metrics.segmentation import segmentation_scores
from monai_cl_ext.study.alignment import aligned_labels

DISTANCES = [name for name in SEGMENTATION if METRICS[name].unit == "distance"]


def paper_compat_scores(
    cases: Sequence[Case], predictions: Mapping[str, Path], classes: Mapping[int, str], slice_axis: int = 2
) -> pd.DataFrame:
    """Pooled overlap and slice-wise distances of all cases together.

    Dice and Jaccard are those of all voxels of all cases as if they were one image, so that large organs and large
    volumes weigh more. HD95 and ASD are taken on each slice in pixels, are 0 (perfect) where the slice lacks the class
    in the label or the prediction has missed it, and are averaged over all slices. The releases compute them on the
    slices that the network saw; here they are computed on the grid of the image.

    Args:
        cases, predictions, classes: as in :func:`score_predictions`.
        slice_axis: of the volumes.

    Returns:
        Columns class, metric ("dice", "jaccard", "hd95", "asd"), value.
    """
    counts = np.zeros((len(classes), 3))  # both, predicted, labeled
    distances: list[np.ndarray] = []
    for case in cases:
        prediction, reference, _ = aligned_labels(case, predictions[image_file(case)], len(classes) + 1)
        prediction, reference = np.moveaxis(prediction, slice_axis, 0), np.moveaxis(reference, slice_axis, 0)
        for index in range(len(classes)):
            masks = prediction == index + 1, reference == index + 1
            counts[index] += np.count_nonzero(masks[0] & masks[1]), *(np.count_nonzero(mask) for mask in masks)
        distances += [_slice_distances(*pair, len(classes)) for pair in zip(prediction, reference, strict=True)]
    both, predicted, labelled = counts.T
    values = {
        "dice": 2 * both / np.maximum(predicted + labelled, 1),
        "jaccard": both / np.maximum(predicted + labelled - both, 1),
        **dict(zip(DISTANCES, np.mean(distances, axis=0), strict=True)),
    }
    rows = [
        (name, metric, float(found[index]))
        for metric, found in values.items()
        for index, name in enumerate(classes.values())
    ]
    return pd.DataFrame(rows, columns=["class", "metric", "value"])


def _slice_distances(prediction: np.ndarray, reference: np.ndarray, classes: int) -> np.ndarray:
    """HD95 and ASD of each class, shape (2, classes); 0 where either mask is empty."""
    scores = segmentation_scores(prediction, reference, classes + 1)
    present = [bool((prediction == label).any() and (reference == label).any()) for label in range(1, classes + 1)]
    return np.array([np.where(present, scores[metric].numpy(), 0.0) for metric in DISTANCES])
