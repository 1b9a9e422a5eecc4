# SPDX-License-Identifier: Apache-2.0
"""Supervised training: a network and its loss on labeled images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.device_checks import check_whole
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.method import Method
from monai_cl_ext.numerics import at_least_float32
from monai_cl_ext.types import Losses, Tags, View


class Supervised(Method):
    """Training with labels, from scratch or from pre-trained weights.

    A network with deep supervision, such as MONAI's DynUNet, is trained with all of its maps: the loss is the sum of
    theirs, with weights 1, 1/2, 1/4 ..., or those of a ``monai.losses.DeepSupervisionLoss`` given as the loss.

    Args:
        network: from images (B, C, *S) to logits; in training to several maps of them, where it has deep supervision.
        loss: of the logits and the target.
        target: what is learned, by its name in the view ("label": class indices (B, 1, *S), or masks (B, K, *S) of K
            regions that may overlap, as BraTS has) or among the tags ("class", (B,)).
    """

    views = 1

    def __init__(self, network: nn.Module, loss: nn.Module, target: str = "label") -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.target = target

    @property
    def predictor(self) -> nn.Module:
        """The network."""
        return self.network

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of the view.

        Raises:
            KeyError, ValueError: when the batch has no such target, or none of whole classes; see :meth:`target_of`.
        """
        image = views[0]["image"]
        maps = maps_of(self.network(image), image)
        return {"loss": supervised_loss(self.loss, maps, self.target_of(views[0], tags))}

    def target_of(self, view: View, tags: Tags) -> Tensor:
        """The target of a view, int64 class indices or masks in float32 at least.

        Raises:
            KeyError: where there is none.
            ValueError: on the CPU, where class indices lie between classes, as after linear interpolation; on CUDA
                that is an assertion of the device.
        """
        found = {**tags, **view}
        if self.target not in found:
            raise KeyError(
                f"supervised training needs {self.target!r} in the batch, found {sorted(found)}; give the dataset "
                "entries with both, or name another target"
            )
        target = found[self.target]
        if target.ndim > 2 and target.shape[1] > 1:
            return target.to(at_least_float32(target.dtype))
        check_whole(self.target, target, 'resample labels with mode "nearest", as by RandPolicyd(mode=...)')
        return target.to(torch.int64)
