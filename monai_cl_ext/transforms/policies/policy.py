# SPDX-License-Identifier: Apache-2.0
"""A view policy: operations that turn a whole batch into one view, each sample with its own parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from monai_cl_ext.arguments import one_of, per_axis, positive_integer
from monai_cl_ext.types import View

from ..operations.elastic import ElasticDeformation
from ..operations.intensity_range import Limits, warn_clipped
from ..operations.matrices import centering
from ..operations.operation import AffineOperation, IntensityOperation, Operation, SpatialOperation
from ..operations.operation_group import OperationGroup, flattened
from ..plain import plain
from .device_copy import to_device
from .warp import Sampling, Warp

MAPS = ("image", "label", "superpixel")
"""The maps of a view: "image" is sampled linearly and takes the intensity operations, the others only move."""

CHUNK = 2**19
"""Values of a map that are processed at a time on a CPU, so that they stay in its cache between operations."""


class ViewPolicy:
    """A composition of operations over a batch, in the order in which they are applied.

    Each run of consecutive spatial operations is one grid and one ``grid_sample``: the image (tri)linear, labels and
    superpixels nearest, all at the same coordinates; what one operation moves out of the image a later one of its run
    can bring back. Samples that shrink are smoothed first (antialiasing). Without a spatial operation nothing is
    resampled, and without any operation a view shares the memory of its input.

    Args:
        operations: ``IntensityOperation``, ``AffineOperation`` and ``ElasticDeformation`` objects, and
            ``OperationGroup`` groups of them.
        size: spatial size of the view in voxels, reached by the first run of spatial operations, or before all others
            where there is none; one number serves all axes; None keeps the input's.
        spatial_dims: 2 or 3.
        padding_mode: what the image holds outside its edges, as in ``grid_sample``: "border" for the nearest voxel's
            value, or "zeros". Labels and superpixels hold 0 there.

    Raises:
        TypeError, ValueError: when an operation is of another type or of another number of spatial dimensions.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        size: int | Sequence[int] | None = None,
        spatial_dims: int = 2,
        padding_mode: str = "border",
    ) -> None:
        self.operations = tuple(operations)
        self.spatial_dims = one_of("spatial_dims", spatial_dims, (2, 3))
        self.size = None if size is None else per_axis("size", size, spatial_dims, positive_integer)
        self.padding_mode = one_of("padding_mode", padding_mode, ("border", "zeros"))
        for operation in flattened(self.operations):
            if not isinstance(operation, (IntensityOperation, AffineOperation, ElasticDeformation)):
                raise TypeError(f"ViewPolicy takes intensity, affine and elastic operations, found {operation!r}")
            if isinstance(operation, SpatialOperation) and operation.spatial_dims != spatial_dims:
                raise ValueError(
                    f"ViewPolicy has spatial_dims={spatial_dims}, but {type(operation).__name__} has "
                    f"spatial_dims={operation.spatial_dims}; give both the same"
                )
        self.steps = self._compose()

    def with_operations(self, operations: Iterable[Operation]) -> ViewPolicy:
        """A policy of other operations with the same size, dimensions and padding."""
        return ViewPolicy(operations, self.size, self.spatial_dims, self.padding_mode)

    def replace(self, *operations: Operation) -> ViewPolicy:
        """A policy in which each given operation stands in the place of the one of its class, in groups too.

        Raises:
            ValueError: when the policy has none of a class, or several.
        """
        replaced = list(self.operations)
        for operation in operations:
            found = sum(type(each) is type(operation) for each in flattened(replaced))
            if found != 1:
                raise ValueError(
                    f"replace needs one {type(operation).__name__} in the policy, found {found}; use with_operations"
                )
            replaced = _replaced(replaced, operation)
        return self.with_operations(replaced)

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
                steps.append(Warp(run, size, self.padding_mode))
                size = None
            else:
                steps.append(run)
        return steps

    @property
    def moves(self) -> bool:
        """Whether views are resampled; a policy that does not move serves any number of spatial dimensions."""
        return any(isinstance(step, Warp) for step in self.steps)

    @property
    def changes_geometry(self) -> bool:
        """Whether a spatial operation is in it; one that only resamples to another size keeps every place."""
        return any(isinstance(operation, SpatialOperation) for operation in flattened(self.operations))

    @property
    def columns(self) -> int:
        """Parameters per sample, P."""
        return sum(operation.columns for operation in self.operations)

    def make_params(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The parameters of all operations, concatenated, float32 (B, P), on the CPU; they can be kept and replayed."""
        drawn = [operation.make_params(batch_size, generator) for operation in self.operations]
        return torch.cat([torch.empty(batch_size, 0), *drawn], dim=1)

    def apply(self, view: View, params: Tensor) -> View:
        """The view of given parameters; a pure function, on the device of ``view``.

        Args:
            view: "image" (B, C, *S), floating point, "label" and "superpixel", (B, 1, *S), at least one of them; plain
                tensors or MetaTensors.
            params: of ``make_params``, (B, P), on the CPU: what follows from them is sent to the device in one copy and
                without waiting.

        Returns:
            the same maps as plain tensors, in their own dtypes. A map that no operation changes is not copied.

        Raises:
            ValueError: when the view or the parameters do not fit the policy.

        On the CPU it warns, once, of images of which more than a tenth lies beyond what the policy clips to.
        """
        view = {name: plain(map_) for name, map_ in view.items()}
        self._check(view, params)
        if "image" in view and view["image"].device.type == "cpu" and (limits := self._limits()):
            warn_clipped(view["image"], limits)
        reference = view.get("image", next(iter(view.values())))
        size, sent = tuple(reference.shape[2:]), []
        for step, part in self._parts(params):
            if isinstance(step, Warp):
                sent.append(step.prepare(part, size))
                size = step.output_size(size)
            else:
                sent.append({} if step.params_on_cpu else {"params": part})
        dtype = torch.float64 if reference.dtype == torch.float64 else torch.float32
        ready = to_device(sent, reference.device, dtype)
        batch_size, at_once = len(reference), max(1, CHUNK // max(1, reference[:1].numel()))
        if reference.device.type != "cpu" or batch_size <= at_once:
            return self._run(view, params, ready)
        changed = {name: map_ for name, map_ in view.items() if self.moves or name == "image"}
        whole: View = {}
        for start in range(0, batch_size, at_once):
            rows = slice(start, start + at_once)
            chunk = [{name: values[rows] for name, values in step.items()} for step in ready]
            made = self._run({name: map_[rows] for name, map_ in changed.items()}, params[rows], chunk)
            for name, map_ in made.items():
                if name not in whole:
                    whole[name] = map_.new_empty(batch_size, *map_.shape[1:])
                whole[name][rows] = map_  # copied at once, so that the next chunk reuses the memory of this one
        return {**view, **whole}

    def _run(self, view: View, params: Tensor, ready: list[Sampling]) -> View:
        """All steps one after the other, from what lies ready on the device for each of them."""
        for (step, part), sent in zip(self._parts(params), ready, strict=True):
            if isinstance(step, Warp):
                view = step.apply(view, sent)
            elif "image" in view:
                image = view["image"]
                drawn = part if step.params_on_cpu else sent["params"].to(image.dtype)
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
                total = total @ centering(size, size).inverse()
                for matrix in step.matrices(part, size):
                    total = total @ matrix
                total = total @ centering(output_size, size)
                size = output_size
        return total

    def _parts(self, params: Tensor) -> Iterable[tuple[IntensityOperation | Warp, Tensor]]:
        """Each step with its columns of the parameters."""
        return zip(self.steps, params.split([step.columns for step in self.steps], dim=1), strict=True)

    def _limits(self) -> Limits | None:
        """What images are clipped to first; None where nothing clips them as they come."""
        intensities = (each for each in flattened(self.operations) if isinstance(each, IntensityOperation))
        return next((each.clips_to for each in intensities if each.sets_range or each.clips_to), None)

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


def _replaced(operations: Iterable[Operation], new: Operation) -> list[Operation]:
    """The operations with ``new`` in the place of the one of its class."""
    return [
        new if type(each) is type(new)
        else OperationGroup(_replaced(each.operations, new), each.probability) if isinstance(each, OperationGroup)
        else each
        for each in operations
    ]  # fmt: skip
