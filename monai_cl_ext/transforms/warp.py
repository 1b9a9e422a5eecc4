# SPDX-License-Identifier: Apache-2.0
"""A run of spatial operations as one grid, read once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from monai_cl_ext.arguments import one_of
from monai_cl_ext.types import View

from .axis_reading import axis_places, read_linear, read_nearest
from .elastic import ElasticDeformation, dense_displacement
from .operation import AffineOperation, SpatialOperation
from .prefilter import triangle_kernels
from .separable import convolve


class Warp:
    """Composes consecutive spatial operations and samples every map of a view once, from one grid.

    For operations o_1 ... o_n in the order in which they are applied, the output at x is the input at
    o_1(o_2(... o_n(x))), each o leading from output to input places. Neighbouring matrices multiply on the CPU; what
    reaches the device is one matrix per sample and, for each elastic deformation, its control points.

    On the device a grid is kept in planes, (B, d, *S), in the coordinates of ``torch.nn.functional.grid_sample`` with
    ``align_corners=False``: -1 to 1 from edge to edge, last array axis first.

    Args:
        operations: in the order in which they are applied.
        size: spatial size of the output; None keeps the input's.
        padding: what an image holds outside, as ``grid_sample`` calls it: "border" or "zeros". Labels hold 0.
    """

    def __init__(self, operations: Sequence[SpatialOperation], size: Sequence[int] | None, padding: str) -> None:
        self.operations = list(operations)
        self.size = None if size is None else tuple(size)
        self.padding = one_of("padding", padding, ("border", "zeros"))
        self.columns = sum(operation.columns for operation in operations)

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size after the warp."""
        return tuple(size) if self.size is None else self.size

    def matrices(self, params: Tensor, size: Sequence[int]) -> list[Tensor]:
        """The products of neighbouring matrices, one more than there are elastic deformations, (B, d + 1, d + 1)."""
        identity = torch.eye(len(size) + 1, dtype=torch.float64).expand(len(params), -1, -1)
        products = [identity]
        for operation, part in zip(self.operations, self._parts(params), strict=True):
            if isinstance(operation, AffineOperation):
                products[-1] = products[-1] @ operation.matrix(part, size)
            else:
                products.append(identity)
        return products

    def prepare(self, params: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """What the device needs, worked out on the CPU; nothing where every place stays as it is.

        Args:
            params: of the operations, side by side, (B, P).
            size: spatial size of the input.

        Returns:
            "kernel0" ... the smoothing along each axis that shrinks; then either, of volumes whose axes only stretch,
            "places0" ... the places to read along each axis (B, voxels), or "theta0" ... the matrices (B, d, d + 1)
            and "control0" ... the control displacements in the frame before the matrix in front of them.
        """
        matrices = self.matrices(params, size)
        thetas = [grid_matrix(matrix, size) for matrix in matrices]
        controls = [
            2 * operation.control(part).double().flip(1)
            for operation, part in zip(self.operations, self._parts(params), strict=True)
            if isinstance(operation, ElasticDeformation)
        ]
        still = torch.eye(len(size), len(size) + 1, dtype=torch.float64)
        moved = any((theta != still).any() for theta in thetas) or any(control.any() for control in controls)
        if not moved and self.output_size(size) == tuple(size):
            return {}
        kernels = enumerate(triangle_kernels(self._shrink(matrices, size)))
        facts = {f"kernel{axis}": kernel for axis, kernel in kernels if kernel is not None}
        # In a plane the grid is as fast; in space it is slower by far.
        if len(size) == 3 and not controls:
            places = axis_places(thetas[0], size, self.output_size(size))
            if places is not None:
                return facts | {f"places{axis}": place for axis, place in enumerate(places)}
        for index, control in enumerate(controls):
            facts[f"control{index}"] = torch.einsum("bij,bj...->bi...", thetas[index][:, :, :-1], control)
        return facts | {f"theta{index}": theta for index, theta in enumerate(thetas)}

    def apply(self, view: View, facts: dict[str, Tensor]) -> View:
        """The view with every map read at the same places; "image" linear, the others to the nearest voxel."""
        if not facts:
            return view
        size = next(iter(view.values())).shape[2:]
        kernels = [facts.get(f"kernel{axis}") for axis in range(len(size))]
        places = [facts[f"places{axis}"] for axis in range(len(size)) if f"places{axis}" in facts]
        grid = None if places else self._grid(facts, self.output_size(size))
        dtype = next(iter(facts.values())).dtype
        warped = {}
        for name, map_ in view.items():
            values = map_.to(dtype)
            if name == "image":
                values = convolve(values, kernels, outside="repeat")
            if grid is None:
                read = read_linear(values, places, self.padding) if name == "image" else read_nearest(values, places)
            elif name == "image":
                read = sample(values, grid, "bilinear", self.padding)
            else:
                read = sample(values, grid, "nearest", "zeros")
            warped[name] = read.to(map_.dtype)
        return warped

    def _parts(self, params: Tensor) -> Sequence[Tensor]:
        return params.split([operation.columns for operation in self.operations], dim=1)

    def _shrink(self, matrices: list[Tensor], size: Sequence[int]) -> Tensor:
        """Voxels of the input per voxel of the output along each input axis, (B, d); elastic bending left out."""
        ratio = torch.tensor(size, dtype=torch.float64) / torch.tensor(self.output_size(size), dtype=torch.float64)
        product = matrices[0]
        for matrix in matrices[1:]:
            product = product @ matrix
        return (product[:, :-1, :-1] * ratio).norm(dim=2)

    def _grid(self, facts: dict[str, Tensor], size: Sequence[int]) -> Tensor:
        """Places of the input to read, in planes (B, d, *size)."""
        controls = sum(name.startswith("control") for name in facts)
        # With the deformation last its displacement is needed at the voxels themselves and need not be looked up.
        ends_elastic = bool(self.operations) and isinstance(self.operations[-1], ElasticDeformation)
        grid = None if ends_elastic else affine_planes(facts[f"theta{controls}"], size)
        for index in reversed(range(controls)):
            theta, displacement = facts[f"theta{index}"], dense_displacement(facts[f"control{index}"], size)
            if grid is None:
                grid = displacement.add_(affine_planes(theta, size))
            else:
                moved = sample(displacement, grid, "bilinear", "border")
                grid = torch.einsum("bij,bj...->bi...", theta[:, :, :-1], grid) + moved
                grid = grid + theta[:, :, -1].reshape(*grid.shape[:2], *[1] * len(size))
        assert grid is not None
        return grid


def grid_matrix(matrix: Tensor, size: Sequence[int]) -> Tensor:
    """Matrices between centred voxels (B, d + 1, d + 1) in the coordinates of ``grid_sample``, (B, d, d + 1)."""
    dims = len(size)
    half = torch.tensor(size, dtype=torch.float64) / 2
    linear = matrix[:, :dims, :dims] * half / half[:, None]
    offset = matrix[:, :dims, dims] / half
    return torch.cat([linear.flip(1, 2), offset.flip(1)[:, :, None]], dim=2)


def affine_planes(theta: Tensor, size: Sequence[int]) -> Tensor:
    """The grid of matrices (B, d, d + 1) in planes (B, d, *size); as ``affine_grid``, with one pass over the voxels."""
    dims = len(size)
    planes = theta[:, :, dims].reshape(-1, dims, *[1] * dims)
    for axis, length in enumerate(size):
        last = 1 - 1 / length  # the centre of the outermost voxel
        centres = torch.linspace(-last, last, length, device=theta.device, dtype=theta.dtype)
        shape = [1] * dims
        shape[axis] = length
        column = theta[:, :, dims - 1 - axis].reshape(-1, dims, *[1] * dims)
        planes = planes + column * centres.reshape(shape)
    return planes


def sample(values: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    """Values (B, C, *S) read at the places of a grid in planes."""
    return grid_sample(values, grid.movedim(1, -1), mode=mode, padding_mode=padding, align_corners=False)
