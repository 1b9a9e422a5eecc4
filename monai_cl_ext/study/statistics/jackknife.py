# SPDX-License-Identifier: Apache-2.0
"""A value of each patient for scores that only all patients together have, such as AUROC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from monai_cl_ext.metrics.classification import ELEMENTS, classification_scores

SCORES = ("auroc", "aupr")


def pseudo_values(probabilities: np.ndarray, classes: np.ndarray, patients: Sequence[object]) -> dict[str, np.ndarray]:
    """Jackknife pseudo-values of one-vs-rest AUROC and AUPR: one for each patient and class.

    With P patients, the score s of all and s_i of all but patient i, patient i has the value P s - (P - 1) s_i, moved
    by the same amount for all patients so that their mean is s itself. Means of these over patients are scores, and
    their spread over patients is the jackknife's. With patients and draws of labeled patients as crossed random factors
    that is the analysis of Dorfman, Berbaum & Metz (1992, Investigative Radiology 27, 723), with draws in the place of
    readers and the normalization of Hillis et al. (2005, Statistics in Medicine 24, 1579). All images of a patient are
    left out together. A single value has no meaning of its own and may lie outside 0 to 1.

    Args:
        probabilities: (N, C).
        classes: (N,), whole numbers from 0 to C - 1.
        patients: the patient of each image.

    Returns:
        "auroc" and "aupr", (P, C), the patients sorted; nan throughout a class that fewer than two patients have, or
        fewer than two patients lack, in one of their images.

    Raises:
        ValueError: as ``classification_scores``, and when patients are not as many as images.
    """
    names, own = np.unique([str(patient) for patient in patients], return_inverse=True)
    if len(own) != len(classes):
        raise ValueError(f"expected a patient for each of {len(classes)} images, found {len(own)}")
    count = len(names)
    values, labels = torch.as_tensor(probabilities), torch.as_tensor(classes)
    whole = classification_scores(values, labels, each=True)
    turns = np.array_split(np.arange(count), -(-count * len(own) // ELEMENTS))
    weights = (torch.from_numpy((own[None] != left_out[:, None]).astype(np.float64)) for left_out in turns)
    parts = [classification_scores(values, labels, some, each=True) for some in weights]
    found = {}
    for score in SCORES:
        total = whole[f"{score}_each"].numpy()
        without = np.concatenate([part[f"{score}_each"].numpy() for part in parts])
        pseudo = count * total - (count - 1) * without
        found[score] = pseudo - pseudo.mean(axis=0) + total
    return found
