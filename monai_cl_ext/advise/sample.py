# SPDX-License-Identifier: Apache-2.0
"""The images that an adviser looks at: a few of each of many patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FEWEST = 10  # images; measures of fewer would be those of chance


@dataclass(frozen=True)
class Sample:
    """Images and whose they are.

    Patients come first that have come least often: the first images are of different patients as long as there are
    more.

    Attributes:
        image: float16 or float32 (N, C, H, W), at least of the size of the views that will be made of them.
        patient: int64 (N,), equal for images of one patient.
        names: what a figure calls each image.
        told: a sentence on what was found and what of it is looked at.
        volumetric: whether the images are slices, whose first axis figures show to the right.

    Raises:
        ValueError: when there are fewer than ten images or two patients, an image holds NaN or infinity, or parts do
            not fit each other.
    """

    image: Tensor
    patient: Tensor
    names: Sequence[str]
    told: str
    volumetric: bool = False

    def __post_init__(self) -> None:
        count = len(self.image)
        if self.image.ndim != 4 or self.patient.shape != (count,) or len(self.names) != count:
            raise ValueError(
                f"a sample has images (N, C, H, W), N patients and N names, found {tuple(self.image.shape)}, "
                f"{tuple(self.patient.shape)} and {len(self.names)}"
            )
        if count < FEWEST or len(self.patient.unique()) < 2:
            raise ValueError(
                f"found {count} image(s) of {len(self.patient.unique())} patient(s); pairs are compared over at least "
                f"{FEWEST} images of two or more patients"
            )
        if not torch.isfinite(self.image).all():
            raise ValueError("an image of the sample holds NaN or infinity; repair or leave out its file")


def spread_over(patients: Sequence[str], wanted: int, seed: int) -> list[int]:
    """At most ``wanted`` places in ``patients``: one of each patient, drawn at random, before a second of any.

    Args:
        patients: of each image.
        wanted: how many places.
        seed: of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(patients))
    seen: dict[str, int] = {}
    turn = []
    for place in order:
        turn.append(seen.get(patients[place], 0))
        seen[patients[place]] = turn[-1] + 1
    return order[np.argsort(turn, kind="stable")][:wanted].tolist()


def numbered(patients: Sequence[str]) -> Tensor:
    """The patients as numbers, int64 (N,), in the order of their names."""
    _, numbers = np.unique(np.array(patients), return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64))
