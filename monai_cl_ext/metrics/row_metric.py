# SPDX-License-Identifier: Apache-2.0
"""What metrics of all rows of an epoch have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from monai_cl_ext.distributed import gather_objects, world_size


class RowMetric(Metric):
    """Ignite metric of all rows of an epoch; rows wait on their device and go to the host once, at the end.

    The output that an update takes is one of: a tuple of batched tensors in the order of ``required_output_keys`` (a
    single tensor where there is one key), the same with lists of a sample's tensors, a dictionary with those keys, or
    a list of such dictionaries, one for each sample (MONAI's ``decollate=True``). Over several processes the rows of
    all are used. Where the first column, such as embeddings, is not finite the metric is nan.

    Args:
        output_transform: takes ``engine.state.output`` to one of these, for example
            ``monai.handlers.from_engine(["pred", "partition", "volume"])``.
    """

    required_output_keys: tuple[str, ...] = ()

    def __init__(self, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__(output_transform)

    def reset(self) -> None:
        """Forgets all rows."""
        self._rows: list[tuple[Tensor, ...]] = []

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        """Updates with the engine's output; Ignite's own way of unrolling lists knows pairs only."""
        self.update(self._output_transform(engine.state.output))

    def update(self, output: Any) -> None:
        """Keeps the rows of one iteration.

        Args:
            output: see the class.

        Raises:
            ValueError: when a key is absent or the columns have not one row for each sample.
        """
        columns = tuple(batched(column).detach() for column in self._columns(output))
        if columns[0].ndim != 2 or any(column.shape != columns[0].shape[:1] for column in columns[1:]):
            shapes = {key: tuple(c.shape) for key, c in zip(self.required_output_keys, columns, strict=True)}
            first = self.required_output_keys[0]
            raise ValueError(f"{type(self).__name__} needs {first} (B, D) and all else (B,), found {shapes}")
        self._rows.append(columns)

    def compute(self) -> float:
        """The metric of all rows since :meth:`reset`.

        Raises:
            NotComputableError: when there are no rows in any process.
        """
        columns = [torch.cat(column) for column in zip(*self._rows, strict=True)]
        if world_size() > 1:
            gathered = [rows for rows in gather_objects([column.cpu() for column in columns]) if rows]
            columns = [torch.cat(column) for column in zip(*gathered, strict=True)]
        if not columns:
            raise NotComputableError(f"{type(self).__name__} saw no images: the evaluator's data are empty")
        if not torch.isfinite(columns[0]).all():
            return math.nan
        return self.value(*columns)

    @abstractmethod
    def value(self, *columns: Tensor) -> float:
        """The metric of all rows, one tensor for each of ``required_output_keys``."""

    def _columns(self, output: Any) -> Sequence[Any]:
        keys = self.required_output_keys
        if isinstance(output, Mapping):
            return [self._entry(output, key) for key in keys]
        if isinstance(output, Sequence) and output and isinstance(output[0], Mapping):
            return [[self._entry(item, key) for item in output] for key in keys]
        columns: Sequence[Any] = (output,) if len(keys) == 1 and not isinstance(output, tuple) else output
        if len(columns) != len(keys):
            raise ValueError(f"{type(self).__name__} needs {', '.join(keys)}, found {len(columns)} values")
        return columns

    def _entry(self, item: Mapping[str, Any], key: str) -> Any:
        if key not in item:
            needed = ", ".join(self.required_output_keys)
            raise ValueError(
                f"{type(self).__name__} needs {needed}, found an output with {sorted(item)}: give output_transform"
            )
        return item[key]


def batched(column: Tensor | Sequence[Any]) -> Tensor:
    """One tensor with a row for each sample; collated or decollated, MetaTensor or not."""
    tensor = column if isinstance(column, Tensor) else torch.stack([torch.as_tensor(item) for item in column])
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
