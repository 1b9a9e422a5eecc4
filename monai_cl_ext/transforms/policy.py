# SPDX-License-Identifier: Apache-2.0
"""A view policy: operations that turn a whole batch into one view, each sample with its own parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.types import View

from .elastic import ElasticDeformation
from .operation import AffineOperation, IntensityOperation, Operation, SpatialOperation
from .together import flattened
from .warp import Warp

MAPS = ("image", "label", "superpixel")
"""The maps of a view: "image" is read linearly and takes the intensity operations, the others only move."""

CACHED = 2**19
"""Values of a map that are worked on at a time on a CPU, whose cache then holds them between the operations."""


class ViewPolicy:
    """Operations in the order in which they are applied, composed over a batch.

    Each run of consecutive spatial operations is one grid and one ``grid_sample``: the image (tri)linear, labels and
    superpixels nearest, all from the same places; what one operation pushes out of the image a later one of its run can
    bring back. Where a sample shrinks its image is smoothed first, so that nothing aliases. Without a spatial operation
    nothing is resampled, and without any operation the view holds the tensors that it was given.

    Args:
        operations: ``IntensityOperation``, ``AffineOperation`` and ``ElasticDeformation`` objects, and ``Together``
            groups of them.
        size: spatial size of the view in voxels, reached by the first run of spatial operations, or before all others
            where there is none; a single number serves all axes; None keeps the input's.
        spatial_dims: 2 or 3.
        padding: what the image holds outside its edges: "border" for the nearest voxel's value, or "zeros". Labels and
            superpixels hold 0 there.

    Raises:
        TypeError, ValueError: when an operation is of another kind or of another number of spatial dimensions.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        size: int | Sequence[int] | None = None,
        spatial_dims: int = 2,
        padding: str = "border",
    ) -> None:
        self.operations = list(operations)
        self.spatial_dims = one_of("spatial_dims", spatial_dims, (2, 3))
        self.size = _spatial_size(size, spatial_dims)
        self.padding = one_of("padding", padding, ("border", "zeros"))
        for operation in flattened(self.operations):
            if not isinstance(operation, (IntensityOperation, AffineOperation, ElasticDeformation)):
                raise TypeError(f"ViewPolicy takes intensity, affine and elastic operations, found {operation!r}")
            if isinstance(operation, SpatialOperation) and operation.spatial_dims != spatial_dims:
                raise ValueError(
                    f"ViewPolicy has spatial_dims={spatial_dims}, but {type(operation).__name__} has "
                    f"spatial_dims={operation.spatial_dims}; give both the same"
                )
        self.steps = self._compose()

    def _compose(self) -> list[IntensityOperation | Warp]:
        """Intensity operations one by one, each run of spatial ones as one warp, the first of them to the new size."""
        runs: list[IntensityOperation | list[SpatialOperation]] = []
        for operation in flattened(self.operations):
            if isinstance(operation, IntensityOperation):
                runs.append(operation)
            elif isinstance(operation, SpatialOperation):
                if runs and isinstance(runs[-1], list):
                    runs[-1].append(operation)
                else:
                    runs.append([operation])
        if self.size is not None and not any(isinstance(run, list) for run in runs):
            runs.insert(0, [])
        steps: list[IntensityOperation | Warp] = []
        size = self.size
        for run in runs:
            if isinstance(run, list):
                steps.append(Warp(run, size, self.padding))
                size = None
            else:
                steps.append(run)
        return steps

    @property
    def moves(self) -> bool:
        """Whether views are resampled; a policy that does not move serves any number of spatial dimensions."""
        return any(isinstance(step, Warp) for step in self.steps)

    @property
    def columns(self) -> int:
        """Numbers per sample in the packed parameters, P."""
        return sum(operation.columns for operation in self.operations)

    def make_params(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The parameters of all operations side by side, float32 (B, P), on the CPU; they can be kept and replayed."""
        drawn = [operation.make_params(batch_size, generator) for operation in self.operations]
        return torch.cat([torch.empty(batch_size, 0), *drawn], dim=1)

    def apply(self, view: View, params: Tensor) -> View:
        """The view that the parameters describe; a pure function, on the device of ``view``.

        Args:
            view: "image" (B, C, *S), floating point, "label" and "superpixel", (B, 1, *S); at least one of them.
            params: of ``make_params``, (B, P), on the CPU: what follows from them is sent to the device at once and
                without waiting.

        Returns:
            the same maps, in their own dtypes. A map that no operation touches is not copied.

        Raises:
            ValueError: when the view or the parameters do not fit the policy.
        """
        self._check(view, params)
        reference = view.get("image", next(iter(view.values())))
        size, facts = tuple(reference.shape[2:]), []
        for step, part in self._parts(params):
            if isinstance(step, Warp):
                facts.append(step.prepare(part, size))
                size = step.output_size(size)
            else:
                facts.append({} if step.params_on_cpu else {"params": part})
        dtype = torch.float64 if reference.dtype == torch.float64 else torch.float32
        there = _to_device(facts, reference.device, dtype)
        batch_size, at_once = len(reference), max(1, CACHED // max(1, reference[:1].numel()))
        if reference.device.type != "cpu" or batch_size <= at_once:
            return self._run(view, params, there)
        changed = {name: map_ for name, map_ in view.items() if self.moves or name == "image"}
        whole: View = {}
        for start in range(0, batch_size, at_once):
            some = slice(start, start + at_once)
            sent = [{name: fact[some] for name, fact in step.items()} for step in there]
            made = self._run({name: map_[some] for name, map_ in changed.items()}, params[some], sent)
            for name, map_ in made.items():
                if name not in whole:
                    whole[name] = map_.new_empty(batch_size, *map_.shape[1:])
                whole[name][some] = map_  # copied at once, so that the next part is made in the memory of this one
        return {**view, **whole}

    def _run(self, view: View, params: Tensor, facts: list[dict[str, Tensor]]) -> View:
        """All steps one after the other, from what lies ready on the device for each of them."""
        for (step, part), ready in zip(self._parts(params), facts, strict=True):
            if isinstance(step, Warp):
                view = step.apply(view, ready)
            elif "image" in view:
                image = view["image"]
                drawn = part if step.params_on_cpu else ready["params"].to(image.dtype)
                view = {**view, "image": step.apply(image, drawn)}
        return view

    def __call__(self, view: View, generator: torch.Generator) -> View:
        """A view with parameters drawn from the generator."""
        return self.apply(view, self.make_params(len(next(iter(view.values()))), generator))

    def voxel_matrix(self, params: Tensor, size: Sequence[int]) -> Tensor:
        """Matrices from voxel indices of the view to those of its input, float64 (B, d + 1, d + 1).

        Elastic deformations, which no matrix describes, are left out.

        Args:
            params: of ``make_params``, (B, P).
            size: spatial size of the input in voxels.
        """
        total = torch.eye(self.spatial_dims + 1, dtype=torch.float64).expand(len(params), -1, -1)
        for step, part in self._parts(params):
            if isinstance(step, Warp):
                output_size = step.output_size(size)
                total = total @ _centring(size, size).inverse()
                for matrix in step.matrices(part, size):
                    total = total @ matrix
                total = total @ _centring(output_size, size)
                size = output_size
        return total

    def _parts(self, params: Tensor) -> Iterable[tuple[IntensityOperation | Warp, Tensor]]:
        """Each step with its columns of the packed parameters."""
        return zip(self.steps, params.split([step.columns for step in self.steps], dim=1), strict=True)

    def _check(self, view: View, params: Tensor) -> None:
        if not view or not set(view) <= set(MAPS):
            raise ValueError(f"a view holds some of {', '.join(MAPS)}, found {sorted(view)}")
        shapes = {name: tuple(map_.shape) for name, map_ in view.items()}
        if min(map(len, shapes.values())) < 3:
            raise ValueError(f"the maps of a view are batches (B, C, *S), found {shapes}")
        batch_size, _, *size = next(iter(shapes.values()))
        if any((shape[0], list(shape[2:])) != (batch_size, size) for shape in shapes.values()):
            raise ValueError(f"the maps of a view share batch and spatial size, found {shapes}")
        if self.moves and len(size) != self.spatial_dims:
            raise ValueError(f"this policy takes maps (B, C, *S) of {self.spatial_dims} spatial axes, found {shapes}")
        if "image" in view and not view["image"].is_floating_point():
            raise ValueError(f"the image of a view must be of floating point, found {view['image'].dtype}")
        if params.shape != (batch_size, self.columns) or params.device.type != "cpu":
            raise ValueError(
                f"params must be a CPU tensor of shape {(batch_size, self.columns)} from make_params of this policy, "
                f"found shape {tuple(params.shape)} on {params.device}"
            )


def _spatial_size(size: int | Sequence[int] | None, spatial_dims: int) -> tuple[int, ...] | None:
    if size is None:
        return None
    sizes = tuple(size) if isinstance(size, Sequence) else (size,) * spatial_dims
    if len(sizes) != spatial_dims:
        raise ValueError(f"size must hold {spatial_dims} numbers, one a spatial dimension, found {size!r}")
    return tuple(positive_integer("size", side) for side in sizes)


def _centring(size: Sequence[int], reference: Sequence[int]) -> Tensor:
    """The matrix from voxel indices of a lattice to voxels of the reference lattice from the common centre."""
    scale = torch.tensor(reference, dtype=torch.float64) / torch.tensor(size, dtype=torch.float64)
    matrix = torch.diag(torch.cat([scale, torch.ones(1, dtype=torch.float64)]))
    matrix[:-1, -1] = -scale * (torch.tensor(size, dtype=torch.float64) - 1) / 2
    return matrix


def _to_device(facts: list[dict[str, Tensor]], device: torch.device, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """All tensors of the steps, sent in one packed copy for which the host does not wait."""
    parts = [part for step in facts for part in step.values()]
    if not parts:
        return facts
    packed = torch.cat([part.to(dtype).flatten() for part in parts])
    if device.type == "cuda":
        packed = packed.pin_memory()  # only from pinned memory does a copy return before it is done
    pieces = iter(packed.to(device, non_blocking=True).split([part.numel() for part in parts]))
    return [{name: next(pieces).reshape(part.shape) for name, part in step.items()} for step in facts]
