# SPDX-License-Identifier: Apache-2.0
"""The values that a training takes for a data set, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.splits import Case
from monai_cl_ext.data_check.facts import CaseFacts
from monai_cl_ext.data_check.suggestion import Suggestion
from monai_cl_ext.recipes.recipe import TrainingRecipe
from monai_cl_ext.study.bundles import Bundle


@dataclass(frozen=True)
class Choice:
    """A value that was chosen.

    Attributes:
        name: a config id, or what it is.
        value: as JSON holds it.
        reason: why, in a few words.
    """

    name: str
    value: Any
    reason: str


def data_choices(
    suggestion: Suggestion, facts: Sequence[CaseFacts], pretrain: Sequence[Case], pretraining: Bundle | None
) -> list[Choice]:
    """Settings that follow from the data: those of the check, and what batches the volumes can fill.

    Args:
        suggestion: of the check.
        facts: of all cases.
        pretrain: the cases to pre-train on.
        pretraining: the bundle that pre-trains, if any; its batches are the ones wanted.
    """
    found = [Choice(name, value, suggestion.reasons[name]) for name, value in suggestion.settings.items()]
    batches = {} if pretraining is None else _batches(pretraining)
    if not batches:
        return found
    images = {image_file(case) for case in pretrain}
    axis = suggestion.settings["slice_axis"]
    counts = [one.volume.shape[axis] for one in facts if one.volume is not None and one.image in images]
    partitions = batches["partitions"]
    if sum(count >= partitions for count in counts) < min(2, len(counts)):
        partitions = max(1, min(counts))
        found.append(Choice("partitions", partitions, "the volumes have few slices"))
    if partitions == 1:
        found.append(Choice("strategy", "gr", "without partitions only two views of a slice are alike"))
    usable = sum(count >= partitions for count in counts)
    volumes = batches["volumes_per_batch"]
    wanted = volumes * batches["partitions"] if partitions == 1 else volumes  # as many slices without partitions
    if min(wanted, usable) != volumes:
        reason = f"{usable} volume(s) to pre-train on have {partitions} slice(s) or more"
        found.append(Choice("volumes_per_batch", min(wanted, usable), reason))
    return found


def _batches(bundle: Bundle) -> dict[str, int]:
    """The partitions and the volumes of a batch that a bundle's first stage has; nothing for one without them."""
    parser = bundle.parser(bundle.pretrain_stages[0])
    names = ("partitions", "volumes_per_batch")
    return {name: int(parser.get(name)) for name in names} if all(name in parser for name in names) else {}


def stage_settings(bundle: Bundle, stage: str, recipe: TrainingRecipe, choices: Sequence[Choice]) -> dict[str, Any]:
    """The values by config id that a stage of a bundle takes; what the recipe names comes last.

    Raises:
        ValueError: when the recipe names a setting of this stage that it does not have.
    """
    later = (*bundle.train_stages, "inference")
    own = recipe.train_settings if stage in later else recipe.pretrain_settings
    if stage in later and stage != "train":
        own = bundle.known([stage], own)  # those of the training that it shares, such as its network
    elif unknown := sorted(own.keys() - bundle.known([stage], own).keys()):
        raise ValueError(
            f"the recipe sets {', '.join(unknown)}, which {bundle.path(stage)} does not have; leave it out"
        )
    return bundle.known([stage], {**{choice.name: choice.value for choice in choices}, **own})


def schedule_told(settings: dict[str, Any]) -> str:
    """How long a stage trains and how fast it learns."""
    steps = f"{settings['epochs']} epochs of {settings['batches_per_epoch']} batches"
    return f"{steps}, learning rate {settings['learning_rate']:g}" if "learning_rate" in settings else steps


def device_choice() -> Choice:
    """Where it is trained."""
    if torch.cuda.is_available():
        return Choice("device", torch.cuda.get_device_name(), "the first GPU that torch finds")
    return Choice("device", "CPU", f"torch finds no GPU; {torch.get_num_threads()} thread(s)")
