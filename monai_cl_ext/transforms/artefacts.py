# SPDX-License-Identifier: Apache-2.0
"""Artefacts of acquisition: noise of the sensor, and a field of uneven illumination or sensitivity."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of, positive_integer

from .operation import IntensityOperation, check_axes, interval, uniform

SEEDS = 2**24
"""Whole numbers up to here are exact in the float32 of the parameters."""


class AdditiveNoise(IntensityOperation):
    """Adds Gaussian noise, independent at each voxel and channel, of one standard deviation per sample.

    What is drawn beforehand is the standard deviation and a seed for each sample; the noise itself is drawn on the
    device of the image. So kept parameters give the same noise again, whatever the rest of the batch holds, but a GPU's
    noise is not the CPU's.

    Args:
        low: smallest standard deviation, at least 0, in the units of the image.
        high: largest standard deviation.
        probability: chance of each sample to be touched.
    """

    params_on_cpu: ClassVar[bool] = True

    def __init__(self, low: float, high: float, probability: float = 1.0) -> None:
        super().__init__([0.0, 0.0], probability)
        self.low, self.high = interval("AdditiveNoise", low, high)
        if self.low < 0:
            raise ValueError(f"AdditiveNoise's standard deviations must be at least 0, found low={low!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Standard deviation, and the seed of the sample's noise, (B, 2)."""
        sigma = uniform((batch_size, 1), self.low, self.high, generator)
        seed = torch.randint(SEEDS, (batch_size, 1), generator=generator)
        return torch.cat([sigma, seed.float()], dim=1)

    def scaled(self, strength: float) -> AdditiveNoise:
        """Standard deviations nearer to 0."""
        return AdditiveNoise(strength * self.low, strength * self.high, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image plus its noise; ``params`` on the CPU."""
        noise = torch.zeros(image.shape, device=image.device)
        generator = torch.Generator(image.device)
        for row, (sigma, seed) in zip(noise, params.tolist(), strict=True):
            if sigma > 0:
                row.normal_(0.0, sigma, generator=generator.manual_seed(int(seed)))
        return image + noise.to(image.dtype)


class PolynomialBiasField(IntensityOperation):
    """Multiplies by exp(p), p a polynomial of the place with one set of coefficients per sample, from U(low, high).

    The field is that of MONAI's ``RandBiasField``: Legendre polynomials P_i(x) P_j(y) (P_k(z)) over [-1, 1] along each
    axis, in 2D of all orders j <= i <= degree, in 3D of all with i + j + k <= degree. The constant is among them, so
    that coefficients above 0 brighten the image as a whole.

    Args:
        low: smallest coefficient.
        high: largest coefficient.
        degree: largest order along an axis.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be touched.
    """

    def __init__(
        self, low: float, high: float, degree: int = 3, spatial_dims: int = 2, probability: float = 1.0
    ) -> None:
        self.spatial_dims = one_of("spatial_dims", spatial_dims, (2, 3))
        self.degree = positive_integer("PolynomialBiasField's degree", degree)
        orders = product(range(degree + 1), repeat=spatial_dims)
        used = [order[1] <= order[0] if spatial_dims == 2 else sum(order) <= degree for order in orders]
        super().__init__([0.0] * len(used), probability)
        self.used = torch.tensor(used)
        self.low, self.high = interval("PolynomialBiasField", low, high)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Coefficients of all products of polynomials, the last axis's order fastest, (B, (degree + 1) ** d)."""
        return self.used * uniform((batch_size, self.columns), self.low, self.high, generator)

    def scaled(self, strength: float) -> PolynomialBiasField:
        """Coefficients nearer to 0."""
        low, high = strength * self.low, strength * self.high
        return PolynomialBiasField(low, high, self.degree, self.spatial_dims, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image times its field, which all channels share."""
        check_axes(self, self.spatial_dims, image)
        dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
        field = params.to(dtype).reshape(-1, *[self.degree + 1] * self.spatial_dims)
        for length in image.shape[2:]:  # each turn takes the first axis of orders and leaves it, as voxels, as the last
            field = field.movedim(1, -1) @ legendre(self.degree, length, image.device, dtype)
        return image * field.exp()[:, None].to(image.dtype)


def legendre(degree: int, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Legendre polynomials of the orders 0 ... degree at ``length`` places from -1 to 1, (degree + 1, length)."""
    place = torch.linspace(-1, 1, length, device=device, dtype=dtype)
    values = [torch.ones_like(place), place]
    for order in range(1, degree):
        values.append(((2 * order + 1) * place * values[order] - order * values[order - 1]) / (order + 1))
    return torch.stack(values)
