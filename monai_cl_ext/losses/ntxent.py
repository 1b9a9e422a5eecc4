# SPDX-License-Identifier: Apache-2.0
"""NT-Xent: the two views of a sample attract, every other view repels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.distributed import row_counts
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.rules import same_sample


class NTXentLoss(nn.Module):
    """Normalised temperature-scaled cross-entropy (SimCLR, Chen et al. 2020, eq. 1).

    Args:
        temperature: divides the cosine similarities; positive.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Mean loss over the 2B anchors of both views.

        Args:
            z1, z2: embeddings of the two views, (B, D), of any scale.

        Raises:
            ValueError: when the shapes differ, or all processes together hold fewer than two samples.
        """
        check_embeddings(z1, z2)
        samples = sum(row_counts(len(z1), z1.device))
        if samples < 2:
            raise ValueError(f"a sample needs another to repel, found {samples}; give a batch of at least two samples")
        positive = same_sample(len(z1), 2, z1.device)
        return contrast(torch.cat([z1, z2]), positive=positive, temperature=self.temperature)
