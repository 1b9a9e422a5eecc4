# SPDX-License-Identifier: Apache-2.0
"""A multiplicative bias field: uneven illumination, or uneven sensitivity of a coil."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of, positive_integer

from .operation import IntensityOperation, check_axes, interval, uniform


class PolynomialBiasField(IntensityOperation):
    """Random bias field exp(p), p a polynomial of the coordinates with coefficients from U(low, high).

    The field of MONAI's ``RandBiasField``: Legendre polynomials P_i(x) P_j(y) (P_k(z)) over [-1, 1] along each axis, in
    2D of all orders j <= i <= degree, in 3D of all with i + j + k <= degree. The constant is among them, so that
    coefficients above 0 brighten the image as a whole.

    Args:
        low: smallest coefficient.
        high: largest coefficient.
        degree: largest order along an axis.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be augmented.
    """

    by_channel: ClassVar[bool] = True

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
        """Smaller coefficients."""
        low, high = strength * self.low, strength * self.high
        return PolynomialBiasField(low, high, self.degree, self.spatial_dims, self.probability)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image times its field, shared by all channels."""
        check_axes(self, self.spatial_dims, image)
        dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
        field = params.to(dtype).reshape(-1, *[self.degree + 1] * self.spatial_dims)
        for length in image.shape[2:]:  # takes the first axis of orders and leaves it, as voxels, as the last
            field = field.movedim(1, -1) @ legendre(self.degree, length, image.device, dtype)
        return image * field.exp()[:, None].to(image.dtype)


def legendre(degree: int, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Legendre polynomials of the orders 0 ... degree at ``length`` points from -1 to 1, (degree + 1, length)."""
    points = torch.linspace(-1, 1, length, device=device, dtype=dtype)
    values = [torch.ones_like(points), points]
    for order in range(1, degree):
        values.append(((2 * order + 1) * points * values[order] - order * values[order - 1]) / (order + 1))
    return torch.stack(values)
