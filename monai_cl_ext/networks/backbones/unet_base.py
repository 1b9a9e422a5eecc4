# SPDX-License-Identifier: Apache-2.0
"""Base class of the papers' U-Nets."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


class UNetBase(nn.Module):
    """U-Net of given parts; each encoder level but the first downsamples by 2, each decoder block upsamples by 2.

    Args:
        encoder: its levels, shallow to bottleneck.
        decoder: its blocks, one fewer, from the bottleneck up; called with (map from below, skip).
        output: takes the last block's map to the logits.

    Raises:
        ValueError: in ``forward``, when a spatial size cannot be halved by every level.
    """

    def __init__(self, encoder: Iterable[nn.Module], decoder: Iterable[nn.Module], output: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.output = output
        self.multiple: int = 2 ** len(self.decoder)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, *S) of the images (B, in_channels, *S)."""
        for size in x.shape[2:]:
            if size % self.multiple != 0:
                raise ValueError(
                    f"each spatial size must be a multiple of {self.multiple}, found {size}: crop or pad the images"
                )
        features: list[Tensor] = []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        for index, block in enumerate(self.decoder):
            x = block(x, features[len(features) - 2 - index])
        return self.output(x)
