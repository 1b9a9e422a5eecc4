# SPDX-License-Identifier: Apache-2.0
"""Augmentation of labeled batches, as ``prepare_batch`` of MONAI's trainers and evaluators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_cl_ext.types import Batch, View

from .plain import plain
from .policies.policy import ViewPolicy
from .prepare import SeededPrepare


class _PrepareOne(SeededPrepare):
    """One augmented image for each of the batch, and its target."""

    def __init__(self, policy: ViewPolicy, seed: int = 0) -> None:
        super().__init__(seed)
        self.policy = policy

    def augmented(self, batch: Batch, target: str, remedy: str, device: Any, non_blocking: bool, **kwargs: Any) -> View:
        """The augmented maps of a batch that holds ``target``; a KeyError with the remedy where it does not."""
        if target not in batch:
            raise KeyError(f"supervised training needs {target!r} in the batch, found {sorted(batch)}; {remedy}")
        return self.policy(self.original(batch, device, non_blocking, **kwargs), self.generator)


class PrepareAugmented(_PrepareOne):
    """Augments labeled batches on the device, as ``prepare_batch`` of ``monai.engines.SupervisedTrainer``.

    Args:
        policy: the augmentation.
        seed: the run's seed; ``set_epoch`` as in ``PrepareViews``.
    """

    def __call__(
        self,
        batchdata: Batch,
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """The augmented image (B, C, *S) and its label, class indices int64 (B, 1, *S), as MONAI's losses take it.

        Args:
            batchdata: "image" (B, C, *S) and "label" (B, 1, *S).
            device: where the batch is augmented.
            non_blocking: copy to the device without waiting.
            kwargs: more arguments of ``Tensor.to``, such as ``memory_format``.

        Raises:
            KeyError: when the batch has no label.
        """
        remedy = "give the dataset entries with both 'image' and 'label'"
        view = self.augmented(batchdata, "label", remedy, device, non_blocking, **kwargs)
        return view["image"], view["label"].long()


class PrepareClassified(_PrepareOne):
    """Augments images of one class each on the device, as ``prepare_batch`` of MONAI's trainers and evaluators.

    Args:
        policy: the augmentation; ``identity_policy()`` for an evaluator.
        seed: the run's seed; ``set_epoch`` as in ``PrepareViews``.
    """

    def __call__(
        self,
        batchdata: Batch,
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """The augmented image (B, C, *S) and its class, int64 (B,), as cross-entropy takes it.

        Args:
            batchdata: "image" (B, C, *S) and "class" (B,).
            device: where the batch is augmented.
            non_blocking: copy to the device without waiting.
            kwargs: more arguments of ``Tensor.to`` for the image, such as ``memory_format``.

        Raises:
            KeyError: when the batch has no class.
        """
        remedy = "give images with classes, as PictureDataset does"
        view = self.augmented(batchdata, "class", remedy, device, non_blocking, **kwargs)
        return view["image"], plain(batchdata["class"]).to(device=device, non_blocking=non_blocking).long()
