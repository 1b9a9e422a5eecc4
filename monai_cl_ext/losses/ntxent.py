# SPDX-License-Identifier: Apache-2.0
"""NT-Xent, the contrastive loss of SimCLR: the two views of a sample attract, all other rows repel."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.losses.base_temperature import temperature_factor
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import Rules, same, sample_tags
from monai_cl_ext.numerics import joined


class NTXentLoss(nn.Module):
    """Normalized temperature-scaled cross-entropy (SimCLR, Chen et al. 2020, eq. 1).

    Args:
        temperature: divides the cosine similarities; positive.
        base_temperature: multiplies the loss by temperature / base_temperature, as PCL's release does with 0.07; None
            leaves it out.
    """

    def __init__(self, temperature: float = 0.1, base_temperature: float | None = None) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)
        self.factor = temperature_factor(self.temperature, base_temperature)

    @plain_tensors
    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Mean loss over the 2B anchors of both views; 0, with zero gradient, for a single sample.

        Args:
            z1, z2: embeddings of the two views, (B, D), of any scale.

        Raises:
            ValueError: when z1 and z2 are not both (B, D).
        """
        check_embeddings(z1=z1, z2=z2)
        rules = self.rules({}, sample_tags(len(z1), z1.device), views=2)
        return self.factor * contrast(joined(z1, z2), *rules, temperature=self.temperature)

    def rules(self, tags: Mapping[str, Tensor], samples: Tensor, views: int) -> Rules:
        """Positive and negative pairs among the rows of all views, view by view.

        Args:
            tags: not read.
            samples: a number for each sample (B,), unique over all processes; see ``sample_tags``.
            views: number of views of each sample.
        """
        return same(samples.repeat(views)), None
