# SPDX-License-Identifier: Apache-2.0
"""Mixup: convex combinations of labeled images and of their labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.networks import one_hot
from torch import Tensor

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.seeds import mix_seed
from monai_cl_ext.types import Batch

from .operations.operation import expand_like
from .prepare import SeededPrepare

STREAM = 0x6D69787570  # separates these random numbers from those of the wrapped prepare_batch of the same seed


class PrepareMixup(SeededPrepare):
    """Mixes the images of a labeled batch in pairs, as ``prepare_batch`` of ``monai.engines.SupervisedTrainer``.

    Image i becomes l x_i + (1 - l) x_j, with j of a random permutation of the batch and l from Beta(alpha, alpha), and
    its one-hot label likewise (Zhang et al. 2018, section 2). Each image has its own l.

    Args:
        prepare: makes the image (B, C, *S) and its label (B, 1, *S), class indices, of a batch: ``PrepareAugmented``.
        num_classes: of the label, background included.
        alpha: of the Beta distribution; the smaller, the closer l is to 0 or 1.
        seed: the run's seed; ``set_epoch`` as in ``PrepareViews``, which also seeds ``prepare``.
    """

    def __init__(
        self, prepare: Callable[..., tuple[Tensor, Tensor]], num_classes: int, alpha: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__(mix_seed(STREAM, int(seed)))
        self.prepare = prepare
        self.num_classes = positive_integer("num_classes", num_classes)
        self.alpha = positive_number("alpha", alpha)

    def set_epoch(self, epoch: int) -> None:
        """Seeds an epoch, here and in ``prepare``; call it before the epoch's first batch."""
        super().set_epoch(epoch)
        if hasattr(self.prepare, "set_epoch"):
            self.prepare.set_epoch(epoch)

    def make_params(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Weight l of each image, and the index of its partner, on the CPU, float32 (B, 2)."""
        random = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
        weight = random.beta(self.alpha, self.alpha, batch_size)
        return torch.tensor(np.stack([weight, random.permutation(batch_size)], axis=1), dtype=torch.float32)

    def __call__(
        self,
        batchdata: Batch,
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """The mixed image (B, C, *S) and its soft label (B, num_classes, *S), both in the image's dtype.

        A loss takes such labels without ``to_onehot_y``.

        Args:
            batchdata: what ``prepare`` takes, with "image".
            device: where the batch is mixed.
            non_blocking: copy to the device without waiting.
            kwargs: more arguments of ``prepare``.
        """
        params = self.make_params(len(batchdata["image"]), self.generator)  # first: it may seed the wrapped one
        image, label = self.prepare(batchdata, device, non_blocking, **kwargs)
        if image.is_cuda:
            params = params.pin_memory()  # only from pinned memory does a copy return before it is done
        params = params.to(image.device, non_blocking=True)
        return mixed(image, params), mixed(one_hot(label, self.num_classes, dtype=image.dtype), params)


def mixed(rows: Tensor, params: Tensor) -> Tensor:
    """l x_i + (1 - l) x_j of each row (B, ...), with the weights l and partners j of ``params`` (B, 2)."""
    weight, partner = params.unbind(dim=1)
    return torch.lerp(rows[partner.long()], rows, expand_like(weight, rows).to(rows.dtype))
