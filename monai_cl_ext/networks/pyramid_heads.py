# SPDX-License-Identifier: Apache-2.0
"""Auxiliary heads on the coarser maps of a decoder."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn.functional import interpolate

from monai_cl_ext.networks.perturbations import FeatureDropout, FeatureNoise
from monai_cl_ext.networks.stages import Stages


class PyramidHeads(nn.Module):
    """Logits of the decoder's maps before the last one (URPC; Luo et al. 2021).

    A head is a 3x3 convolution to the classes, and its logits are resized to the size of the last map (nearest). The
    three finest maps before the last have one, fewer in networks of fewer decoder blocks. In training a head is given
    its map perturbed: the coarsest of three with dropped elements (half of them), the next with ``FeatureDropout``, the
    finest with ``FeatureNoise``; where there are fewer, the first ones are left out.

    Args:
        stages: of the network.

    Raises:
        ValueError: when its decoder has fewer than two blocks.
    """

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        widths = stages.decoder_channels[:-1][-3:]
        if not widths:
            raise ValueError(
                "heads on the maps before a decoder's last one need a decoder of at least two blocks, found "
                f"{len(stages.decoder_channels)} in {type(stages.network).__name__}: take a deeper network"
            )
        perturbations = [nn.Dropout(0.5), FeatureDropout(), FeatureNoise()][-len(widths) :]
        convolution = Conv[Conv.CONV, stages.spatial_dims]
        self.heads = nn.ModuleList(
            nn.Sequential(perturbation, convolution(width, stages.out_channels, kernel_size=3, padding=1))
            for width, perturbation in zip(widths, perturbations, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Logits (B, classes, *S), the coarsest first.

        Args:
            maps: after each decoder block, what ``Stages.decoder_maps`` gives.
        """
        *coarse, last = maps
        pairs = zip(self.heads, coarse[-len(self.heads) :], strict=True)
        return [interpolate(head(each), size=last.shape[2:]) for head, each in pairs]
