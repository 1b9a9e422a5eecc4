# SPDX-License-Identifier: Apache-2.0
"""Learned data augmentation: a generator of changes that look real and help to segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Optimizer

from monai_cl_ext.arguments import weight, whole_number
from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.mixup import one_hot_label, takes_soft_labels
from monai_cl_ext.methods.random_cuts import random_cuts
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.networks.field_generator import NOISE, FieldGenerator
from monai_cl_ext.numerics import at_least_float32
from monai_cl_ext.types import Losses, Tags, View

KEPT = ((5, 14),)
"""Rows of 20 that the network sees without a field."""


class LearnedAugmentation(SemiSupervised):
    """Task-driven data augmentation (Chaitanya et al., IPMI 2019; MedIA 2021), the training of one generator.

    A generator G makes of labeled images x and noise fields v, which change images and labels. A discriminator tells
    changed images x' from unlabeled ones, and the segmentation network learns x' with its changed label. G minimizes

        L = L_segmentation + w L_adversarial - reward mean(abs(v)),

    with the network: the last term rewards large fields. Some random rows, 5 to 14 of 20, reach the network without a
    field. In the warm-up the network alone is trained, on labeled images as they are; the generator's gradients are 0,
    and ``handlers.DropGradients`` keeps an optimizer from counting these steps.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S).
        loss: of the logits and soft labels (L, classes, *S), without ``to_onehot_y``.
        labelled_per_batch: number of labeled rows, which come first.
        generator: a ``networks.DeformationGenerator`` or ``IntensityGenerator`` for images of this size.
        adversary: a ``networks.image_discriminator`` with its optimizer.
        consistency_weight: w, of the generator's part against the discriminator.
        reward: of the mean absolute field.
        warm_up_steps: optimizer steps of the warm-up, of those of the whole run.
        released_detached: as the released code computes it, whatever the paper says: no gradient of the segmentation
            reaches G. The network is shown fields of G in evaluation mode, and G changes images that these have
            changed already.

    Raises:
        ValueError: when the loss has ``to_onehot_y``, or for arguments out of their range.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        generator: FieldGenerator,
        adversary: Adversary,
        consistency_weight: float = 1.0,
        reward: float = 0.001,
        warm_up_steps: int = 0,
        released_detached: bool = False,
    ) -> None:
        super().__init__(network, takes_soft_labels(loss), labelled_per_batch, consistency_weight)
        self.generator = generator
        self.adversary = adversary
        self.reward = weight("reward", reward)
        self.warm_up_steps = whole_number("warm_up_steps", warm_up_steps)
        self.released_detached = released_detached

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """That of the discriminator."""
        return {"discriminator": self.adversary.optimizer}

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The losses.

        Returns:
            "loss" and "supervised", the segmentation; after the warm-up also "adversarial", "discriminator", which the
            adversary minimizes, and what the generator tells of its field.

        Raises:
            ValueError: when the images are not of the generator's size, or as ``SemiSupervised`` says.
        """
        rows = self.rows_of(views[0], tags)
        image, label = rows.labelled, rows.label
        if self.iteration < self.warm_up_steps:
            # gradients of zero: every parameter has one in every step, as DistributedDataParallel wants it
            still = torch.stack([0 * parameter.sum() for parameter in self.generator.parameters()]).sum()
            supervised = self._segment(image, label)
            return {"loss": supervised + still, "supervised": supervised}
        shown, source, field = self._fields(image)
        supervised = self._segment(self.generator.changed(image, shown), label, shown)
        made = self.generator.changed(source, field)
        adversarial = softplus(-_logits(self.adversary(torch.cat([made, rows.unlabelled]))[: len(made)])).mean()
        discriminator = self._discriminate(made.detach(), rows.unlabelled)
        loss = supervised + self.consistency_weight * adversarial - self.reward * field.abs().mean()
        losses = {"supervised": supervised, "adversarial": adversarial, "discriminator": discriminator}
        return {"loss": loss, **losses, **self.generator.told(field)}

    def _fields(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fields that the network is shown, 0 on some rows; images and fields that the discriminator judges."""
        kept = torch.arange(len(image), device=image.device) < random_cuts(len(image), KEPT)[0]
        kept = kept.view(-1, *[1] * (image.ndim - 1))
        if not self.released_detached:
            field = self.generator(image, noise_for(image))
            return field.masked_fill(kept, 0), image, field
        with eval_mode(self.generator):
            shown = self.generator(image, noise_for(image)).masked_fill(kept, 0)
            source = self.generator.changed(image, shown)
        torch.clear_autocast_cache()  # older versions of torch keep copies of weights that have no gradient
        return shown, source, self.generator(source, noise_for(image))

    def _segment(self, image: Tensor, label: Tensor, field: Tensor | None = None) -> Tensor:
        """The network's loss on images and their labels, which a field changes."""
        maps = maps_of(self.network(image), image)
        target = one_hot_label(label, maps[0].shape[1]).to(image.dtype)
        target = target if field is None else self.generator.changed_label(target, field)
        return supervised_loss(self.loss, maps, target)

    def _discriminate(self, made: Tensor, real: Tensor) -> Tensor:
        """The discriminator's loss, from which it learns; both kinds share the statistics of a batch."""

        def loss(verdict: Callable[..., Tensor]) -> Tensor:
            fake, true = _logits(verdict(torch.cat([made, real]))).split([len(made), len(real)])
            return softplus(-true).mean() + softplus(fake).mean()

        return self.adversary.learn(loss)

    def after_step(self) -> None:
        """Moves the discriminator."""
        self.adversary.step()


def noise_for(image: Tensor) -> Tensor:
    """Standard normal noise (B, 100) of a generator, for images (B, ...)."""
    return torch.randn(len(image), NOISE, dtype=image.dtype, device=image.device)


def _logits(verdict: Tensor) -> Tensor:
    return verdict.to(at_least_float32(verdict.dtype))
