# SPDX-License-Identifier: Apache-2.0
"""PCL: slices near each other along the volume's axis attract, every other slice repels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.losses.base_temperature import temperature_factor
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.rules import Rule

# Positions are quotients: without it, two slices exactly one threshold apart would be positive or not by rounding.
TOLERANCE = 1e-6


class PositionContrastiveLoss(nn.Module):
    """Positional contrastive loss (Zeng et al., "Positional contrastive learning", MICCAI 2021).

    The rows are the two views of each slice. Two rows are positive where their slices lie nearer than a threshold to
    each other along the volume, in whatever volumes they are; all other rows of the batch share the denominator with
    the positives. With threshold t, row a at position x_a, and s the cosine over temperature:

        P(a) = {k != a: abs(x_k - x_a) < t}
        l(a) = -mean over p in P(a) of log(e^s_ap / sum over k != a of e^s_ak)

    Distances are compared with t - 1e-6 in float64, so slices exactly one threshold apart are never positive. The
    paper uses the thresholds 0.1 (CHD) and 0.35 (ACDC).

    Args:
        threshold: distance under which slices are positive, a fraction of the volume's length; positive.
        temperature: divides the cosine similarities; positive.
        base_temperature: multiplies the loss by temperature / base_temperature, as the released code does with 0.07;
            None leaves it out.
    """

    def __init__(self, threshold: float, temperature: float = 0.1, base_temperature: float | None = None) -> None:
        super().__init__()
        self.threshold = positive_number("threshold", threshold)
        self.temperature = positive_number("temperature", temperature)
        self.factor = temperature_factor(self.temperature, base_temperature)

    def forward(self, z1: Tensor, z2: Tensor, position: Tensor) -> Tensor:
        """Mean loss over the 2B anchors of both views.

        Args:
            z1, z2: embeddings of the two views, (B, D), of any scale.
            position: of each slice (B,), from 0 to 1 along its volume. A slice at NaN lies nowhere and only repels.

        Raises:
            ValueError: when shapes do not fit.
        """
        check_embeddings(z1, z2)
        if position.shape != z1.shape[:1]:
            raise ValueError(f"position must be one number a slice, ({len(z1)},), found {tuple(position.shape)}")
        positive = self.positive(position.repeat(2))
        return self.factor * contrast(torch.cat([z1, z2]), positive, temperature=self.temperature)

    def positive(self, position: Tensor) -> Rule:
        """Which rows attract each other, by the positions of their slices."""
        return nearer_than(self.threshold - TOLERANCE, position.double())


def nearer_than(distance: float, position: Tensor) -> Rule:
    """Pairs whose positions differ by less than ``distance``."""
    return Rule((position,), lambda anchor, candidate: (anchor[0] - candidate[0]).abs_() < distance)
