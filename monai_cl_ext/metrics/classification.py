# SPDX-License-Identifier: Apache-2.0
"""Scores of classifications over several classes, and their intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_integer

ELEMENTS = 2**22
"""Most weights that are held at once; more resamples go in several turns."""


def classification_scores(
    probabilities: Tensor, classes: Tensor, weights: Tensor | None = None, *, each: bool = False
) -> dict[str, Tensor]:
    """Macro one-vs-rest AUROC and AUPR, and accuracy.

    AUROC counts a tie as a half. AUPR is the average precision, sum over thresholds of (R_n - R_(n-1)) P_n, one
    threshold for each distinct probability. A class that all images have or none has is nan and left out of the mean.
    These are scikit-learn's ``roc_auc_score``, ``average_precision_score`` and ``accuracy_score``; here images have
    weights, and all sets of weights are scored at once, which a bootstrap needs.

    Args:
        probabilities: (N, C), or anything that ranks the images of each class, and whose greatest is the prediction.
        classes: (N,), whole numbers from 0 to C - 1.
        weights: how often each image counts, (N,) or for R sets (R, N); None counts each once.
        each: adds the scores of each class, "auroc_each" and "aupr_each".

    Returns:
        "auroc", "aupr" and "accuracy", float64 scalars or (R,); those of each class (C,) or (R, C).

    Raises:
        ValueError: when shapes do not fit, a class is out of range or a probability is not finite.
    """
    probabilities, classes = _checked(probabilities, classes)
    counts = torch.ones(len(classes)) if weights is None else torch.as_tensor(weights).cpu()
    if counts.shape[-1:] != classes.shape or counts.ndim > 2:
        raise ValueError(f"weights must be (N,) or (R, N) for {len(classes)} images, found {tuple(counts.shape)}")
    rows = counts.double().reshape(-1, len(classes))
    areas = [_areas(probabilities[:, label], classes == label, rows) for label in range(probabilities.shape[1])]
    auroc, aupr = (torch.stack(columns, dim=1) for columns in zip(*areas, strict=True))
    right = (probabilities.argmax(dim=1) == classes).double()
    scores = {"auroc": auroc.nanmean(dim=1), "aupr": aupr.nanmean(dim=1), "accuracy": rows @ right / rows.sum(dim=1)}
    if each:
        scores |= {"auroc_each": auroc, "aupr_each": aupr}
    return scores if counts.ndim == 2 else {name: score[0] for name, score in scores.items()}


def bootstrap_intervals(
    probabilities: Tensor,
    classes: Tensor,
    patients: Sequence[object],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Percentile intervals of :func:`classification_scores`, from resampled patients.

    Whole patients are drawn with replacement, as many as there are, so that images of one patient are not taken for
    independent ones. A score that is nan in a resample is left out of its percentiles.

    Args:
        probabilities, classes: as in :func:`classification_scores`.
        patients: the patient of each image.
        level: of the intervals, between 0 and 1.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        Lower and upper end for each score, those of each class included, float64 scalars or (C,); nan where no
        resample has the score.

    Raises:
        ValueError: as in :func:`classification_scores`, and when an argument does not fit.
    """
    probabilities, classes = _checked(probabilities, classes)
    if len(patients) != len(classes) or not 0 < level < 1:
        raise ValueError(
            f"expected a patient for each of {len(classes)} images and a level within (0, 1), found {len(patients)}"
            f" patients and level={level!r}"
        )
    known = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    own = torch.tensor([known[patient] for patient in patients])
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(known), (positive_integer("resamples", resamples), len(known)), generator=generator)
    parts = [
        classification_scores(probabilities, classes, _multiplicity(part, len(known))[:, own], each=True)
        for part in drawn.split(max(1, ELEMENTS // len(classes)))
    ]
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    limits = {name: torch.cat([part[name] for part in parts]).nanquantile(ends, dim=0) for name in parts[0]}
    return {name: (low, high) for name, (low, high) in limits.items()}


def _checked(probabilities: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Both on the host, in float64 and int64."""
    probabilities, classes = (torch.as_tensor(value).detach().cpu() for value in (probabilities, classes))
    if probabilities.ndim != 2 or classes.shape != probabilities.shape[:1] or 0 in probabilities.shape:
        raise ValueError(
            f"expected probabilities (N, C) and classes (N,) of at least one image, found {tuple(probabilities.shape)}"
            f" and {tuple(classes.shape)}"
        )
    if classes.is_floating_point() or classes.min() < 0 or classes.max() >= probabilities.shape[1]:
        raise ValueError(
            f"classes must be whole numbers from 0 to {probabilities.shape[1] - 1}, found {classes.unique().tolist()}:"
            " score images with a class alone"
        )
    if not probabilities.isfinite().all():
        raise ValueError("probabilities must be finite, found nan or infinity: look for a broken network or image")
    return probabilities.double(), classes.long()


def _areas(score: Tensor, positive: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """AUROC and average precision (R,) of one class under the weights (R, N)."""
    thresholds, group = torch.unique(score, return_inverse=True)
    group = len(thresholds) - 1 - group  # the highest score first
    empty = weights.new_zeros(len(weights), len(thresholds))
    hits = empty.index_add(1, group, weights * positive)
    misses = empty.index_add(1, group, weights * ~positive)
    found, false = hits.cumsum(dim=1), misses.cumsum(dim=1)
    all_hits, all_misses = found[:, -1], false[:, -1]
    auroc = (misses * (found - hits / 2)).sum(dim=1) / (all_hits * all_misses)
    precision = (found / (found + false)).nan_to_num()
    aupr = (hits * precision).sum(dim=1) / all_hits
    return auroc, aupr.where((all_hits > 0) & (all_misses > 0), torch.nan)


def _multiplicity(drawn: Tensor, count: int) -> Tensor:
    """How often each of ``count`` was drawn in each row (R, count)."""
    ones = torch.ones_like(drawn, dtype=torch.float64)
    return torch.zeros(len(drawn), count, dtype=torch.float64).scatter_add(1, drawn, ones)
