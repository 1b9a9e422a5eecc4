# SPDX-License-Identifier: Apache-2.0
"""Positional contrastive loss (PCL): slices at nearby positions attract, all other slices repel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number, probability
from monai_cl_ext.device_checks import check_values
from monai_cl_ext.losses.base_temperature import temperature_factor
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import Rules, nearer_than, sample_tags
from monai_cl_ext.numerics import joined

# Positions are quotients: without it, rounding would decide about slices exactly one threshold apart.
TOLERANCE = 1e-6  # half precision rounds by more, see _tolerance


class PositionContrastiveLoss(nn.Module):
    """Positional contrastive loss (Zeng et al., "Positional contrastive learning", MICCAI 2021).

    The rows are the two views of each slice. Two rows are positive where the positions of their slices differ by less
    than a threshold, whatever their volumes; all other rows of the batch share the denominator with the positives.
    Patches of volumes have three coordinates, and their Euclidean distance counts.
    With threshold t, row a at position x_a, and s the cosine over temperature:

        P(a) = {k != a: abs(x_k - x_a) < t}
        l(a) = -mean over p in P(a) of log(e^s_ap / sum over k != a of e^s_ak)

    Distances are compared with t - 1e-6 in float64, so slices exactly one threshold apart are never positive; with
    positions in half precision, with t minus its resolution, 0.001 (float16) or 0.008 (bfloat16). The paper uses the
    thresholds 0.1 (CHD) and 0.35 (ACDC).

    Args:
        threshold: distance under which slices are positive, a fraction of the volume's length, above 0 and at most 1.
        temperature: divides the cosine similarities; positive.
        base_temperature: multiplies the loss by temperature / base_temperature, as the released code does with 0.07;
            None leaves it out.
    """

    def __init__(self, threshold: float, temperature: float = 0.1, base_temperature: float | None = None) -> None:
        super().__init__()
        self.threshold = positive_number("threshold", probability("threshold", threshold))
        if self.threshold <= TOLERANCE:
            raise ValueError(
                f"threshold must be above {TOLERANCE:g}, by which positions are rounded, found {threshold:g}"
            )
        self.temperature = positive_number("temperature", temperature)
        self.factor = temperature_factor(self.temperature, base_temperature)

    @plain_tensors
    def forward(self, z1: Tensor, z2: Tensor, position: Tensor) -> Tensor:
        """Mean loss over the 2B anchors of both views.

        Args:
            z1, z2: embeddings of the two views, (B, D), of any scale.
            position: of each slice (B,), from 0 to 1 along its volume, or of the center of each patch (B, 3), from 0 to
                1 along each axis. A slice at NaN has no position and only repels.

        Raises:
            TypeError: when the positions are no tensor.
            ValueError: when shapes do not fit or, on the CPU, when a position is below 0 or above 1; on CUDA that is an
                assertion of the device.
        """
        check_embeddings(z1=z1, z2=z2)
        if not isinstance(position, Tensor):
            raise TypeError(f"position must be a tensor, found {type(position).__name__}: give torch.as_tensor of it")
        if position.shape not in ((len(z1),), (len(z1), 3)):
            raise ValueError(
                f"position must be one number per slice, ({len(z1)},), or three per patch, ({len(z1)}, 3), found "
                f"{tuple(position.shape)}"
            )
        _check_fractions(position)
        rules = self.rules({"position": position}, sample_tags(len(z1), z1.device), views=2)
        return self.factor * contrast(joined(z1, z2), *rules, temperature=self.temperature)

    def rules(self, tags: Mapping[str, Tensor], samples: Tensor, views: int) -> Rules:
        """Positive and negative pairs among the rows of all views, view by view.

        Args:
            tags: "position" of each slice (B,) or patch (B, 3).
            samples: a number for each sample (B,); not read.
            views: number of views of each slice.
        """
        position = tags["position"]
        coordinates = [position.double()] if position.ndim == 1 else position.double().unbind(1)
        distance = self.threshold - _tolerance(position.dtype)
        if distance <= 0:
            raise ValueError(f"threshold {self.threshold:g} is below the resolution of {position.dtype}: give float32")
        return nearer_than(distance, *(along.repeat(views) for along in coordinates)), None


def _tolerance(dtype: torch.dtype) -> float:
    """More than rounding to the dtype changes the difference of two positions."""
    return max(TOLERANCE, torch.finfo(dtype).eps) if dtype.is_floating_point else TOLERANCE


def _check_fractions(position: Tensor) -> None:
    """Refuses positions such as slice numbers; NaN stands for none."""
    outside = (position < -TOLERANCE) | (position > 1 + TOLERANCE)
    check_values(
        ~outside.any(),
        "position must be fractions of the volume's length, from 0 to 1",
        lambda: f"{position[outside][0].item():g}",
        "divide slice numbers by the number of slices",
    )
