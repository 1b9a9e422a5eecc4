# SPDX-License-Identifier: Apache-2.0
"""What ``train`` runs: the bundles and their settings, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PRETRAINING = "gcl_segmentation+no_local"
SUPERVISED = "supervised_segmentation"
SEMI_SUPERVISED = "unimatch_segmentation"


@dataclass(frozen=True)
class TrainingRecipe:
    """A pre-training on all images, then a training with labels.

    Attributes:
        method: the bundles, as a method of a study: "BUNDLE+overlay > BUNDLE+overlay".
        reason: why these.
        settings: values by config id, for every stage that knows them.
        pretrain_settings, train_settings: of the stages of pre-training and of the training alone.
    """

    method: str
    reason: str
    settings: dict[str, Any] = field(default_factory=dict)
    pretrain_settings: dict[str, Any] = field(default_factory=dict)
    train_settings: dict[str, Any] = field(default_factory=dict)


def recipe_for(labelled: int, unlabelled: int, method: str | None = None) -> TrainingRecipe:
    """The recipe for so many patients with labels to train on, and so many volumes without.

    With unlabeled volumes it is what was best on validation patients of docs/results/acdc_semi_supervised.md and
    hippocampus_semi_supervised.md; schedule and learning rates of the training are those of these studies. Settings
    that are not named are the bundles' own.

    Args:
        labelled: number of patients.
        unlabelled: number of volumes.
        method: to run in place of the recipe's, with the same schedule.
    """
    pretrain_settings: dict[str, Any] = {}
    if method is not None:
        reason = "as given"
    elif unlabelled:
        method = f"scratch > {SEMI_SUPERVISED}"
        reason = f"semi-supervised, on {labelled} labeled patient(s) and {unlabelled} volume(s) without labels"
    else:
        method, reason = f"{PRETRAINING} > {SUPERVISED}", "supervised, since every volume to train on has a label"
        pretrain_settings = {"epochs": 15, "batches_per_epoch": 100, "learning_rate": 0.001}
    learning_rate = 0.001 if SUPERVISED in method else 0.003
    train_settings = {"epochs": 30, "batches_per_epoch": 100, "learning_rate": learning_rate, "batch_size": 12}
    return TrainingRecipe(method, reason, pretrain_settings=pretrain_settings, train_settings=train_settings)
