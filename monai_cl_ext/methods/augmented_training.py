# SPDX-License-Identifier: Apache-2.0
"""Training on the changes of learned data augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks import eval_mode
from torch import nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.methods.learned_augmentation import noise_for
from monai_cl_ext.methods.method import Method
from monai_cl_ext.methods.mixup import one_hot_label, takes_soft_labels
from monai_cl_ext.methods.random_cuts import random_cuts
from monai_cl_ext.methods.supervised import Supervised
from monai_cl_ext.networks.field_generator import FieldGenerator
from monai_cl_ext.types import Losses, Tags, View

RANGES = ((1, 4), (5, 9), (10, 14))
"""Of 20 rows: how many are deformed, then up to which intensities change, then up to which both do."""


class AugmentedTraining(Method):
    """The last stage of task-driven data augmentation (Chaitanya et al., IPMI 2019; MedIA 2021).

    Two generators, which stay as they are, change some rows of each batch, with their labels: the first rows, 1 to 4 of
    20, are deformed, those up to 5 to 9 change their intensities, those up to 10 to 14 both, by the same noise, and the
    rest stays. The three numbers are random, and so is the order of the rows, which the sampler gives.

    Args:
        supervised: what trains on soft labels, ``Supervised`` or ``Mixup``; its loss is without ``to_onehot_y``.
        deformation, intensity: the generators, for images of this size.
        num_classes: background included.

    Raises:
        ValueError: when the loss has ``to_onehot_y``.
    """

    views = 1

    def __init__(
        self, supervised: Supervised, deformation: FieldGenerator, intensity: FieldGenerator, num_classes: int
    ) -> None:
        super().__init__()
        takes_soft_labels(supervised.loss)
        self.supervised = supervised
        self.deformation = deformation.requires_grad_(False)
        self.intensity = intensity.requires_grad_(False)
        self.num_classes = positive_integer("num_classes", num_classes)

    @property
    def predictor(self) -> nn.Module:
        """The network."""
        return self.supervised.predictor

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of the changed images and labels, and what the generators tell of all rows' fields."""
        view = views[0]
        image, label = view["image"], one_hot_label(self.supervised.target_of(view, tags), self.num_classes)
        row = torch.arange(len(image), device=image.device).view(-1, *[1] * (image.ndim - 1))
        deformed, shaded, both = random_cuts(len(image), RANGES)
        noise = noise_for(image)
        with eval_mode(self.deformation, self.intensity):
            field = self.deformation(image, noise)
            told = self.deformation.told(field)
            field = field.masked_fill((row >= both) | ((row >= deformed) & (row < shaded)), 0)
            image = self.deformation.changed(image, field)
            label = self.deformation.changed_label(label.to(image.dtype), field)
            change = self.intensity(image, noise)
            told |= self.intensity.told(change)
            image = self.intensity.changed(image, change.masked_fill((row < deformed) | (row >= both), 0))
        return {**self.supervised([{**view, "image": image, "label": label}], tags), **told}
