# SPDX-License-Identifier: Apache-2.0
"""Cross pseudo-supervision of two networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.distributed import sum_over_processes
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.segmentation_checks import check_segmentation
from monai_cl_ext.numerics import at_least_float32


class CrossPseudoSupervisionLoss(nn.Module):
    """Each of two networks learns the most likely classes of the other (CPS; Chen et al. 2021, eq. 2 and 3).

    Cross-entropy of the first with the classes of the second, and the other way round, each the mean over voxels; a
    network gets no gradient from the classes that it gives. Over several processes the mean is that of all of them.
    """

    @plain_tensors
    def forward(self, logits1: Tensor, logits2: Tensor) -> Tensor:
        """The sum of both.

        Args:
            logits1, logits2: of the two networks for the same images, (B, C, *S).

        Raises:
            ValueError: when the shapes differ.
        """
        check_segmentation(logits1)
        if logits1.shape != logits2.shape:
            raise ValueError(
                f"logits1 and logits2 must have one shape, found {tuple(logits1.shape)} and {tuple(logits2.shape)}: "
                "give two networks of the same classes"
            )
        first, second = logits1.to(at_least_float32(logits1.dtype)), logits2.to(at_least_float32(logits2.dtype))
        entropy = F.cross_entropy(first, second.argmax(1), reduction="sum")
        entropy = entropy + F.cross_entropy(second, first.argmax(1), reduction="sum")
        voxels = torch.full_like(entropy, first.numel() // first.shape[1])
        total, count = sum_over_processes(torch.stack([entropy, voxels]))
        return total / count.clamp_min(1)
