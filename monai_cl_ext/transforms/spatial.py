# SPDX-License-Identifier: Apache-2.0
"""Affine operations, each with one matrix per sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_number

from .operation import AffineOperation, interval, nearer, uniform


class CropResize(AffineOperation):
    """Cuts a box at a random place and resizes it to the full size; the box never leaves the image.

    Args:
        fraction: side of the box as a fraction of each side of the image, in (0, 1], or a range (low, high) of it.
        place: range of the box's place along each axis, drawn independently: 0 touches the low end of the image, 1 the
            high end.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be touched.
    """

    def __init__(
        self,
        fraction: float | tuple[float, float],
        place: tuple[float, float] = (0.0, 1.0),
        spatial_dims: int = 2,
        probability: float = 1.0,
    ) -> None:
        super().__init__([1.0, *[0.0] * spatial_dims], spatial_dims, probability)
        smallest, largest = fraction if isinstance(fraction, Sequence) else (fraction, fraction)
        self.fraction = interval("CropResize's fraction", smallest, largest, above=0.0)
        self.place = interval("CropResize's place", *place)
        if self.fraction[1] > 1 or self.place[0] < 0 or self.place[1] > 1:
            raise ValueError(
                f"CropResize cuts boxes inside the image: fraction must be at most 1 and place within [0, 1], "
                f"found fraction={fraction!r}, place={place!r}"
            )

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Fraction and place along each axis, (B, 1 + d)."""
        fraction = uniform((batch_size, 1), *self.fraction, generator)
        place = uniform((batch_size, self.spatial_dims), *self.place, generator)
        return torch.cat([fraction, place], dim=1)

    def scaled(self, strength: float) -> CropResize:
        """Boxes nearer to the whole image; their places stay."""
        low, high = (nearer(fraction, 1.0, strength) for fraction in self.fraction)
        return CropResize((low, high), self.place, self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates shrunk to the box, then moved to its centre."""
        fraction, place = params[:, :1], params[:, 1:]
        return box_matrix(fraction.expand_as(place), place, size)


class Mirror(AffineOperation):
    """Mirrors each of the given axes with a probability of its own.

    Args:
        axes: spatial axis or axes; negative ones count from the last.
        spatial_dims: 2 or 3.
        probability: chance of each sample and axis to be mirrored.
    """

    def __init__(self, axes: int | Sequence[int] = -1, spatial_dims: int = 2, probability: float = 0.5) -> None:
        axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
        super().__init__([1.0] * len(axes), spatial_dims, probability)
        self.axes = tuple(axis % spatial_dims if -spatial_dims <= axis < spatial_dims else -1 for axis in axes)
        if -1 in self.axes or len(set(self.axes)) < len(axes):
            raise ValueError(f"Mirror's axes must be distinct and within {spatial_dims} spatial axes, found {axes!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """-1 for every mirrored axis, 1 for the others, (B, axes)."""
        mirrored = torch.rand(batch_size, len(self.axes), generator=generator) < self.probability
        return 1.0 - 2.0 * mirrored

    def make_params(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """As drawn: the probability is each axis's, not the sample's."""
        return self.draw(batch_size, generator)

    def scaled(self, strength: float) -> Mirror:
        """Mirrors less often."""
        return Mirror(self.axes, self.spatial_dims, strength * self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """The signs on the diagonal."""
        diagonal = torch.ones(len(params), self.spatial_dims, dtype=torch.float64)
        diagonal[:, self.axes] = params.double()
        return homogeneous(torch.diag_embed(diagonal))


class Rotation(AffineOperation):
    """Rotates about the centre by angles from U(-degrees, degrees).

    In 2D one angle turns the first axis towards the second, as ``torch.rot90`` does. In 3D three angles turn about the
    first, then the second, then the third axis.

    Args:
        degrees: largest angle, or in 3D one for each axis.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be touched.
    """

    def __init__(self, degrees: float | Sequence[float], spatial_dims: int = 2, probability: float = 1.0) -> None:
        angles = 1 if spatial_dims == 2 else 3
        super().__init__([0.0] * angles, spatial_dims, probability)
        degrees = list(degrees) if isinstance(degrees, Sequence) else [degrees] * angles
        if len(degrees) != angles or not all(0 <= angle < float("inf") for angle in degrees):
            raise ValueError(f"Rotation in {spatial_dims}D takes one or {angles} angles of at least 0, found {degrees}")
        self.degrees = torch.tensor(degrees, dtype=torch.float32)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Angles in degrees, (B, 1) or (B, 3)."""
        return uniform((batch_size, len(self.degrees)), -self.degrees, self.degrees, generator)

    def scaled(self, strength: float) -> Rotation:
        """Angles nearer to 0."""
        return Rotation([strength * angle for angle in self.degrees.tolist()], self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """The inverse rotation, since it leads from the output to the input."""
        planes = [(0, 1)] if self.spatial_dims == 2 else [(1, 2), (2, 0), (0, 1)]
        linear = torch.eye(self.spatial_dims, dtype=torch.float64).repeat(len(params), 1, 1)
        for angle, (first, second) in zip(params.double().deg2rad().unbind(1), planes, strict=True):
            turn = torch.eye(self.spatial_dims, dtype=torch.float64).repeat(len(params), 1, 1)
            turn[:, first, first] = turn[:, second, second] = angle.cos()
            turn[:, first, second] = angle.sin()
            turn[:, second, first] = -angle.sin()
            linear = linear @ turn
        return homogeneous(linear)


class Turn(Rotation):
    """Rotates by a random multiple of ``step`` degrees, all multiples of the full turn equally likely.

    Args:
        step: angle in degrees that divides 360.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be touched; one of the multiples is 0.
    """

    def __init__(self, step: float = 90.0, spatial_dims: int = 2, probability: float = 1.0) -> None:
        super().__init__(180.0, spatial_dims, probability)
        self.step = positive_number("Turn's step", step)
        if 360 % self.step:
            raise ValueError(f"Turn's step must divide 360 degrees, found {step!r}")

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Angles in degrees, (B, 1) or (B, 3)."""
        multiples = int(360 / self.step)
        return self.step * torch.randint(multiples, (batch_size, self.columns), generator=generator).float()

    def scaled(self, strength: float) -> Turn:
        """Turns less often, by the same angles."""
        return Turn(self.step, self.spatial_dims, strength * self.probability)


class Scaling(AffineOperation):
    """Magnifies about the centre by one factor per sample, from U(low, high); below 1 it shrinks.

    Args:
        low: smallest factor, above 0.
        high: largest factor.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be touched.
    """

    def __init__(self, low: float, high: float, spatial_dims: int = 2, probability: float = 1.0) -> None:
        super().__init__([1.0], spatial_dims, probability)
        self.low, self.high = interval("Scaling", low, high, above=0.0)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Factors, (B, 1)."""
        return uniform((batch_size, 1), self.low, self.high, generator)

    def scaled(self, strength: float) -> Scaling:
        """Factors nearer to 1."""
        low, high = nearer(self.low, 1.0, strength), nearer(self.high, 1.0, strength)
        return Scaling(low, high, self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates divided by the factor."""
        return homogeneous(torch.diag_embed(params.double().reciprocal().expand(-1, self.spatial_dims)))


class Translation(AffineOperation):
    """Moves along each axis by a distance from U(-fraction, fraction) of the side.

    Args:
        fraction: largest distance as a fraction of each side.
        spatial_dims: 2 or 3.
        probability: chance of each sample to be touched.
    """

    def __init__(self, fraction: float, spatial_dims: int = 2, probability: float = 1.0) -> None:
        super().__init__([0.0] * spatial_dims, spatial_dims, probability)
        self.low, self.high = interval("Translation's fraction", -fraction, fraction)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Distances as fractions of the side, (B, d)."""
        return uniform((batch_size, self.spatial_dims), self.low, self.high, generator)

    def scaled(self, strength: float) -> Translation:
        """Distances nearer to 0."""
        return Translation(strength * self.high, self.spatial_dims, self.probability)

    def matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Output coordinates minus the distance in voxels."""
        linear = torch.eye(self.spatial_dims, dtype=torch.float64).expand(len(params), -1, -1)
        return homogeneous(linear, -params.double() * torch.tensor(size, dtype=torch.float64))


def homogeneous(linear: Tensor, offset: Tensor | None = None) -> Tensor:
    """Homogeneous matrices (B, d + 1, d + 1) of x -> linear x + offset, from (B, d, d) and (B, d)."""
    batch_size, dims, _ = linear.shape
    matrix = torch.eye(dims + 1, dtype=linear.dtype).repeat(batch_size, 1, 1)
    matrix[:, :dims, :dims] = linear
    if offset is not None:
        matrix[:, :dims, dims] = offset
    return matrix


def box_matrix(sides: Tensor, place: Tensor, size: Sequence[int]) -> Tensor:
    """Matrices that read a box of the image, from its sides as fractions of the image's and its place, (B, d) each."""
    sides, place = sides.double(), place.double()
    return homogeneous(torch.diag_embed(sides), (place - 0.5) * (1 - sides) * torch.tensor(size, dtype=torch.float64))
