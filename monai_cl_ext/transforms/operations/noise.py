# SPDX-License-Identifier: Apache-2.0
"""Additive Gaussian noise."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .operation import IntensityOperation, interval, uniform

SEEDS = 2**24
"""Integers below it are exact in the float32 of the parameters."""


class AdditiveNoise(IntensityOperation):
    """Random Gaussian noise, independent at each voxel and channel, with one standard deviation per sample.

    The parameters are the standard deviation and a seed of each sample; the noise itself is drawn on the device of the
    image. Kept parameters reproduce the noise, whatever the rest of the batch holds, but a GPU's noise differs from the
    CPU's.

    Args:
        low: smallest standard deviation, at least 0, in the units of the image.
        high: largest standard deviation.
        probability: chance of each sample to be augmented.
    """

    by_channel: ClassVar[bool] = True
    params_on_cpu = True

    def __init__(self, low: float, high: float, probability: float = 1.0) -> None:
        super().__init__([0.0, 0.0], probability)
        self.low, self.high = interval("AdditiveNoise", low, high)
        if self.low < 0:
            raise ValueError(f"AdditiveNoise's standard deviations must be at least 0, found low={low!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Standard deviation and seed, (B, 2)."""
        sigma = uniform((batch_size, 1), self.low, self.high, generator)
        seed = torch.randint(SEEDS, (batch_size, 1), generator=generator)
        return torch.cat([sigma, seed.float()], dim=1)

    def scaled(self, strength: float) -> AdditiveNoise:
        """Smaller standard deviations."""
        return AdditiveNoise(strength * self.low, strength * self.high, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image plus its noise; ``params`` on the CPU."""
        noise = torch.zeros(image.shape, device=image.device)
        if not image.is_meta:  # where tensors have shapes only, there is no generator
            generator = torch.Generator(image.device)
            for row, (sigma, seed) in zip(noise, params.tolist(), strict=True):
                if sigma > 0:
                    row.normal_(0.0, sigma, generator=generator.manual_seed(int(seed)))
        return image + noise.to(image.dtype)
