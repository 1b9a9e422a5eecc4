# SPDX-License-Identifier: Apache-2.0
"""A run of spatial operations as one sampling grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from monai_cl_ext.arguments import one_of
from monai_cl_ext.types import View

from ..operations.elastic import ElasticDeformation, dense_displacement
from ..operations.operation import AffineOperation, SpatialOperation
from ..operations.separable import convolve
from .axis_sampling import axis_coordinates, sample_linear, sample_nearest
from .prefilter import triangle_kernels

Sampling = dict[str, Tensor]
"""What a warp needs on the device, worked out on the CPU: kernels, coordinates, matrices, control points."""


class Warp:
    """Composes consecutive spatial operations and resamples every map of a view once, from one grid.

    For operations o_1 ... o_n in the order in which they are applied, the output at x is the input at
    o_1(o_2(... o_n(x))), each o leading from output to input coordinates. Adjacent matrices are multiplied on the CPU;
    the device gets one matrix per sample and, for each elastic deformation, its control points.

    On the device a grid is kept channel first, (B, d, *S), in the coordinates of ``torch.nn.functional.grid_sample``
    with ``align_corners=False``: -1 to 1 from edge to edge, last array axis first.

    Args:
        operations: in the order in which they are applied.
        size: spatial size of the output; None keeps the input's.
        padding_mode: of images, as in ``grid_sample``: "border" or "zeros". Labels are padded by 0.
    """

    def __init__(self, operations: Sequence[SpatialOperation], size: Sequence[int] | None, padding_mode: str) -> None:
        self.operations = list(operations)
        self.size = None if size is None else tuple(size)
        self.padding_mode = one_of("padding_mode", padding_mode, ("border", "zeros"))
        self.columns = sum(operation.columns for operation in operations)

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size after the warp."""
        return tuple(size) if self.size is None else self.size

    def matrices(self, params: Tensor, size: Sequence[int]) -> list[Tensor]:
        """Products of adjacent matrices, one more than there are elastic deformations, (B, d + 1, d + 1)."""
        identity = torch.eye(len(size) + 1, dtype=torch.float64).expand(len(params), -1, -1)
        products = [identity]
        for operation, part in zip(self.operations, self._parts(params), strict=True):
            if isinstance(operation, AffineOperation):
                products[-1] = products[-1] @ operation.matrix(part, size)
            else:
                products.append(identity)
        return products

    def prepare(self, params: Tensor, size: Sequence[int]) -> Sampling:
        """What the device needs, worked out on the CPU; empty where nothing moves.

        Args:
            params: of the operations, concatenated, (B, P).
            size: spatial size of the input.
        """
        controls = [
            operation.control(part)
            for operation, part in zip(self.operations, self._parts(params), strict=True)
            if isinstance(operation, ElasticDeformation)
        ]
        return self.prepare_matrices(self.matrices(params, size), controls, size)

    def prepare_matrices(self, matrices: list[Tensor], controls: list[Tensor], size: Sequence[int]) -> Sampling:
        """``prepare`` of given matrices, and of the control displacements between them.

        Returns:
            "kernel0" ... the antialiasing filter along each axis that shrinks; then either, for volumes whose axes are
            not rotated, "coordinate0" ... the input coordinates along each axis (B, voxels), or "theta0" ... the
            matrices (B, d, d + 1) and "control0" ... the control displacements in the frame before the matrix in front
            of them.
        """
        thetas = [grid_matrix(matrix, size) for matrix in matrices]
        displaced = [2 * control.double().flip(1) for control in controls]
        still = torch.eye(len(size), len(size) + 1, dtype=torch.float64)
        moved = any((theta != still).any() for theta in thetas) or any(control.any() for control in displaced)
        if not moved and self.output_size(size) == tuple(size):
            return {}
        kernels = enumerate(triangle_kernels(self._shrink(matrices, size)))
        sampling = {f"kernel{axis}": kernel for axis, kernel in kernels if kernel is not None}
        # In a plane the grid is as fast; in space it is slower by far.
        if len(size) == 3 and not displaced:
            coordinates = axis_coordinates(thetas[0], size, self.output_size(size))
            if coordinates is not None:
                return sampling | {f"coordinate{axis}": along for axis, along in enumerate(coordinates)}
        for index, control in enumerate(displaced):
            sampling[f"control{index}"] = torch.einsum("bij,bj...->bi...", thetas[index][:, :, :-1], control)
        return sampling | {f"theta{index}": theta for index, theta in enumerate(thetas)}

    def apply(self, view: View, sampling: Sampling) -> View:
        """The view with all maps sampled at the same coordinates; "image" linear, the others nearest."""
        if not sampling:
            return view
        size = next(iter(view.values())).shape[2:]
        kernels = [sampling.get(f"kernel{axis}") for axis in range(len(size))]
        coordinates = [sampling[f"coordinate{axis}"] for axis in range(len(size)) if f"coordinate{axis}" in sampling]
        grid = None if coordinates else self._grid(sampling, self.output_size(size))
        dtype = next(iter(sampling.values())).dtype
        warped = {}
        for name, map_ in view.items():
            if grid is None and name != "image":
                warped[name] = sample_nearest(map_, coordinates)
                continue
            values = map_.to(dtype)
            if name == "image":
                values = convolve(values, kernels, padding_mode="replicate")
            if grid is None:
                sampled = sample_linear(values, coordinates, self.padding_mode)
            elif name == "image":
                sampled = sample(values, grid, "bilinear", self.padding_mode)
            else:
                sampled = sample(values, grid, "nearest", "zeros")
            warped[name] = sampled.to(map_.dtype)
        return warped

    def _parts(self, params: Tensor) -> Sequence[Tensor]:
        return params.split([operation.columns for operation in self.operations], dim=1)

    def _shrink(self, matrices: list[Tensor], size: Sequence[int]) -> Tensor:
        """Input voxels per output voxel along each input axis, (B, d), without elastic deformations."""
        ratio = torch.tensor(size, dtype=torch.float64) / torch.tensor(self.output_size(size), dtype=torch.float64)
        product = matrices[0]
        for matrix in matrices[1:]:
            product = product @ matrix
        return (product[:, :-1, :-1] * ratio).norm(dim=2)

    def _grid(self, sampling: Sampling, size: Sequence[int]) -> Tensor:
        """Input coordinates of each output voxel, channel first, (B, d, *size)."""
        controls = sum(name.startswith("control") for name in sampling)
        # With the deformation last its displacement is needed at the voxels themselves and need not be looked up.
        ends_elastic = bool(self.operations) and isinstance(self.operations[-1], ElasticDeformation)
        grid = None if ends_elastic else affine_grid(sampling[f"theta{controls}"], size)
        for index in reversed(range(controls)):
            theta, displacement = sampling[f"theta{index}"], dense_displacement(sampling[f"control{index}"], size)
            if grid is None:
                grid = displacement.add_(affine_grid(theta, size))
            else:
                moved = sample(displacement, grid, "bilinear", "border")
                grid = torch.einsum("bij,bj...->bi...", theta[:, :, :-1], grid) + moved
                grid = grid + theta[:, :, -1].reshape(*grid.shape[:2], *[1] * len(size))
        assert grid is not None
        return grid


def grid_matrix(matrix: Tensor, size: Sequence[int]) -> Tensor:
    """Matrices between centered voxels (B, d + 1, d + 1) in the coordinates of ``grid_sample``, (B, d, d + 1)."""
    dims = len(size)
    half = torch.tensor(size, dtype=torch.float64) / 2
    linear = matrix[:, :dims, :dims] * half / half[:, None]
    offset = matrix[:, :dims, dims] / half
    return torch.cat([linear.flip(1, 2), offset.flip(1)[:, :, None]], dim=2)


def affine_grid(theta: Tensor, size: Sequence[int]) -> Tensor:
    """``torch.nn.functional.affine_grid`` of matrices (B, d, d + 1), channel first (B, d, *size), in one pass."""
    dims = len(size)
    grid = theta[:, :, dims].reshape(-1, dims, *[1] * dims)
    for axis, length in enumerate(size):
        last = 1 - 1 / length  # the center of the outermost voxel
        centers = torch.linspace(-last, last, length, device=theta.device, dtype=theta.dtype)
        shape = [1] * dims
        shape[axis] = length
        column = theta[:, :, dims - 1 - axis].reshape(-1, dims, *[1] * dims)
        grid = grid + column * centers.reshape(shape)
    return grid


def sample(values: Tensor, grid: Tensor, mode: str, padding_mode: str) -> Tensor:
    """``grid_sample`` of values (B, C, *S) with a channel-first grid."""
    return grid_sample(values, grid.movedim(1, -1), mode=mode, padding_mode=padding_mode, align_corners=False)
