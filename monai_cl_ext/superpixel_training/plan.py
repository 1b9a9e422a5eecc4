# SPDX-License-Identifier: Apache-2.0
"""What a training of learned superpixels is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from monai_cl_ext.arguments import one_of, positive_integer, positive_number, weight, whole_number
from monai_cl_ext.networks import LNSNet, SuperpixelFCN
from monai_cl_ext.superpixel_training.fcn_training import SuperpixelFCNTraining
from monai_cl_ext.superpixel_training.lnsnet_training import LNSNetTraining

STEPS = 2000
COMPACTNESS = 3.0
LEARNING_RATES = {"lnsnet": 3e-4, "superpixel_fcn": 5e-4}

Training = LNSNetTraining | SuperpixelFCNTraining


@dataclass(frozen=True)
class SuperpixelPlan:
    """The settings of a training.

    Attributes:
        backend: "lnsnet" or "superpixel_fcn".
        n_segments: about how many superpixels an image is to have.
        steps: of Adam; 0 is 2000.
        learning_rate: of Adam; 0 is the backend's default.
        seed: of the first weights, the order of the images and their flips.
        compactness: weight of place against color, of "superpixel_fcn" alone; None is its default, 3.

    Raises:
        ValueError: when one is out of range, or "lnsnet" is given a compactness.
    """

    backend: str
    n_segments: int = 100
    steps: int = 0
    learning_rate: float = 0.0
    seed: int = 0
    compactness: float | None = None

    def __post_init__(self) -> None:
        one_of("backend", self.backend, tuple(LEARNING_RATES))
        positive_integer("n_segments", self.n_segments)
        steps = positive_integer("steps", self.steps or STEPS)
        rate = positive_number("learning_rate", self.learning_rate or LEARNING_RATES[self.backend])
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "learning_rate", rate)
        whole_number("seed", self.seed)
        if self.backend == "superpixel_fcn":
            given = COMPACTNESS if self.compactness is None else self.compactness
            object.__setattr__(self, "compactness", weight("compactness", given))
        elif self.compactness is not None:
            raise ValueError(f"compactness: {self.backend} has none, found {self.compactness}; leave it out")

    def settings(self) -> dict[str, Any]:
        """What shapes the weights, as plain values."""
        own = {} if self.compactness is None else {"compactness": self.compactness}
        return {
            "n_segments": self.n_segments, "steps": self.steps, "learning_rate": self.learning_rate,
            "seed": self.seed, **own,
        }  # fmt: skip

    def build(self) -> Training:
        """The network with its loss; its weights are a function of the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if self.compactness is None:
                return LNSNetTraining(LNSNet(), self.n_segments)
            return SuperpixelFCNTraining(SuperpixelFCN(), self.n_segments, self.compactness)
