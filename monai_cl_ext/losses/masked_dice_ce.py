# SPDX-License-Identifier: Apache-2.0
"""Dice and cross-entropy of masked voxels."""

from __future__ import annotations

import torch
from monai.networks import one_hot
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.arguments import weight
from monai_cl_ext.device_checks import check_classes
from monai_cl_ext.distributed import sum_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.segmentation_checks import check_segmentation
from monai_cl_ext.numerics import at_least_float32

DICE_SMOOTH, CE_SMOOTH = 1e-10, 1e-16
REMEDY = "resample labels with mode nearest, and give the network one output for each class, background included"


class MaskedDiceCELoss(nn.Module):
    """Dice and cross-entropy of the voxels under a mask, of BCP (Bai et al. 2023, eq. 6 and 7).

    Dice has squared denominators and sums over the whole batch, and is the mean of all classes, background included;
    cross-entropy is the mean over the mask. With an empty mask both are 0. Over several processes the sums are those
    of all of them.

    Args:
        lambda_dice, lambda_ce: weights of the two.
    """

    def __init__(self, *, lambda_dice: float = 0.5, lambda_ce: float = 0.5) -> None:
        super().__init__()
        self.lambda_dice = weight("lambda_dice", lambda_dice)
        self.lambda_ce = weight("lambda_ce", lambda_ce)

    @plain_tensors
    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """The weighted sum of both.

        Args:
            logits: (B, C, *S).
            target: classes (B, 1, *S); what lies outside the mask is not read.
            mask: (B, 1, *S) of 0 and 1.

        Raises:
            ValueError: when the shapes do not fit, or on the CPU the target holds anything but classes 0 to C - 1;
                on CUDA that is an assertion of the device.
        """
        check_segmentation(logits, target=target, mask=mask)
        logits = logits.to(at_least_float32(logits.dtype))
        mask = mask.to(logits.dtype)
        target = torch.where(mask > 0, target, 0)
        check_classes("target", target, logits.shape[1], REMEDY)
        target = target.long()
        probabilities, classes = logits.softmax(1) * mask, one_hot(target, logits.shape[1], dtype=logits.dtype) * mask
        voxels = [0, *range(2, logits.ndim)]
        entropy = F.cross_entropy(logits, target.squeeze(1), reduction="none") * mask.squeeze(1)
        sums = torch.stack(
            [
                2 * (probabilities * classes).sum(voxels),
                (probabilities.square() + classes.square()).sum(voxels),
            ]
        )
        totals = sum_over_processes(torch.cat([sums.flatten(), entropy.sum()[None], mask.sum()[None]]))
        overlap, size = totals[:-2].view_as(sums)
        dice = 1 - (overlap + DICE_SMOOTH) / (size + DICE_SMOOTH)
        return self.lambda_dice * dice.mean() + self.lambda_ce * totals[-2] / (totals[-1] + CE_SMOOTH)
