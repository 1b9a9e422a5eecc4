# SPDX-License-Identifier: Apache-2.0
"""The table of metrics knows every metric that a score file can hold."""

import torch

from monai_cl_ext.metrics import classification_scores, segmentation_scores
from monai_cl_ext.metrics.metric import CLASSIFICATION, METRICS, SEGMENTATION


def test_every_score_that_is_computed_has_a_row():
    labels = torch.tensor([[0, 1], [1, 1]])
    assert tuple(segmentation_scores(labels, labels, 2)) == SEGMENTATION
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    assert tuple(classification_scores(probabilities, torch.tensor([0, 1]))) == CLASSIFICATION
    assert set(METRICS) == {*SEGMENTATION, "surface_dice", *CLASSIFICATION, "brier"}
    assert all(name == metric.name for name, metric in METRICS.items())


def test_distances_and_errors_are_better_when_lower():
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["hd95", "asd", "brier"]
    assert METRICS["hd95"].label("mm") == "HD95 (mm)" and METRICS["hd95"].label("") == "HD95"
    assert METRICS["dice"].label("mm") == "Dice" and METRICS["aupr"].title == "AUPR"
