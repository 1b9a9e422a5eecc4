# SPDX-License-Identifier: Apache-2.0
"""Network of Zhu et al. 2021 (LNSNet): features in which the pixels of a superpixel lie near its seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = 5
FEATURES = 20
BRANCH = 10
DILATIONS = (1, 1, 2)


class LNSNet(nn.Module):
    """Network of "Learning the superpixel in a non-iterative and lifelong manner" (Zhu et al., CVPR 2021), grid seeds.

    Three 3x3 convolutions side by side from 5 to 10 channels, with dilation 1, 1 and 2, are joined with the input;
    instance normalization, ReLU, a 3x3 convolution to 10 channels, instance normalization and ReLU follow; joined with
    the input again, a 3x3 convolution gives 20 features, with instance normalization and ReLU. Borders are reflected.
    For training a 1x1 convolution reconstructs the input from the features. It has 7 495 parameters; the module that
    moves the seeds is left out, since in the release no gradient reaches it. Weights are initialized by Xavier's rule.

    The five channels are color and place: L, a, b, row and column.

    Raises:
        ValueError: in ``forward`` when the images have another shape or fewer than 3 pixels along an axis.
    """

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_convolution(CHANNELS, BRANCH, dilation) for dilation in DILATIONS)
        joined = len(DILATIONS) * BRANCH + CHANNELS
        self.middle = nn.Sequential(_normalized(joined), _convolution(joined, BRANCH), _normalized(BRANCH))
        self.features = nn.Sequential(_convolution(BRANCH + CHANNELS, FEATURES), _normalized(FEATURES))
        self.reconstruction = nn.Conv2d(FEATURES, CHANNELS, kernel_size=1)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 20, H, W) of color and place (B, 5, H, W)."""
        channels = self.reconstruction.out_channels
        if x.dim() != 4 or x.shape[1] != channels or min(x.shape[2], x.shape[3]) < 3:
            raise ValueError(
                f"images must be (B, 5, H, W) of at least 3 x 3 pixels, their channels color and place, found {x.shape}"
            )
        near = torch.cat([branch(x) for branch in self.branches] + [x], dim=1)
        return self.features(torch.cat([self.middle(near), x], dim=1))

    def reconstruct(self, features: Tensor) -> Tensor:
        """Color and place (B, 5, H, W) as the features (B, 20, H, W) tell them."""
        return self.reconstruction(features)


def _convolution(before: int, after: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation, padding_mode="reflect")


def _normalized(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.InstanceNorm2d(channels, affine=True), nn.ReLU())


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
