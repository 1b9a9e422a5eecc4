# SPDX-License-Identifier: Apache-2.0
"""Mixup: training on convex combinations of labeled images and of their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.networks import one_hot
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.device_checks import check_classes
from monai_cl_ext.methods.deep_supervision import OUTPUTS, maps_of, supervised_loss
from monai_cl_ext.methods.supervised import Supervised
from monai_cl_ext.pinned import pinned_copy
from monai_cl_ext.seeds import EpochGenerator, mix_seed
from monai_cl_ext.types import Losses, Tags, View

STREAM = 0x6D69787570  # separates these draws from those of the views, which have the same seed


class Mixup(Supervised):
    """Mixup for segmentation (Zhang et al. 2018, section 2).

    Image i becomes l x_i + (1 - l) x_j, with j of a random permutation of the batch and l from Beta(alpha, alpha), and
    its one-hot label likewise. Each image has its own l.

    Args:
        network: from images (B, C, *S) to logits (B, num_classes, *S).
        loss: of the logits and soft labels (B, num_classes, *S); without ``to_onehot_y``.
        num_classes: background included.
        alpha: of the Beta distribution; the smaller, the closer l is to 0 or 1.
        seed: the run's seed; the draws of an epoch follow from (seed, rank, epoch).

    Raises:
        ValueError: when the loss has ``to_onehot_y``.
    """

    def __init__(
        self, network: nn.Module, loss: nn.Module, num_classes: int, alpha: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__(network, takes_soft_labels(loss))
        self.num_classes = positive_integer("num_classes", num_classes)
        self.alpha = positive_number("alpha", alpha)
        self.generator = EpochGenerator(mix_seed(STREAM, int(seed)))

    def set_epoch(self, epoch: int) -> None:
        """Seeds the draws of an epoch."""
        self.generator.set_epoch(epoch)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of the mixed images and labels."""
        image = views[0]["image"]
        label = one_hot_label(self.target_of(views[0], tags), self.num_classes).to(image.dtype)
        params = self.make_params(len(image), image.device)
        maps = maps_of(self.network(mixed(image, params)), image)
        return {"loss": supervised_loss(self.loss, maps, mixed(label, params))}

    def make_params(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """Weight l of each image and the index of its partner, float32 (B, 2), drawn on the CPU."""
        random = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=self.generator())))
        weight = random.beta(self.alpha, self.alpha, batch_size)
        params = torch.tensor(np.stack([weight, random.permutation(batch_size)], axis=1), dtype=torch.float32)
        return pinned_copy(params, device)


def one_hot_label(label: Tensor, num_classes: int) -> Tensor:
    """Labels (B, num_classes, *S) of class indices (B, 1, *S); labels that are it already, and may be soft, stay.

    Raises:
        ValueError: on the CPU, when one is no such class; on CUDA that is an assertion of the device.
    """
    if label.shape[1] == num_classes > 1:
        return label
    check_classes("label", label, num_classes, OUTPUTS)
    return one_hot(label, num_classes)


def takes_soft_labels(loss: nn.Module) -> nn.Module:
    """The loss; a ValueError for one of MONAI's that makes class indices one-hot itself."""
    if any(getattr(module, "to_onehot_y", False) for module in loss.modules()):
        raise ValueError(
            f"{type(loss).__name__} has to_onehot_y: labels are one-hot and may be soft here, so make it without"
        )
    return loss


def mixed(rows: Tensor, params: Tensor) -> Tensor:
    """l x_i + (1 - l) x_j of each row (B, ...), with the weights l and partners j of ``params`` (B, 2)."""
    weight, partner = params.unbind(dim=1)
    weight = weight.reshape(-1, *[1] * (rows.ndim - 1)).to(rows.dtype)
    return torch.lerp(rows[partner.long()], rows, weight)
