# SPDX-License-Identifier: Apache-2.0
"""Neighbor graphs and superpixel averages written out row by row, and what shows how a loss computes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from contrast_oracles import cosine
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cl_ext.losses import kernel


def components_oracle(x: Tensor) -> list[int]:
    """Labels of the nearest-neighbor graph's components; the first of equally near rows is taken, and 0 is at 90°."""
    count, x = len(x), x.detach().double()
    nearest = []
    for i in range(count):
        best, chosen = -float("inf"), i
        for k in range(count):
            near = cosine(x[i], x[k]).nan_to_num(0).item() if k != i else -float("inf")
            if near > best + 1e-12:
                best, chosen = near, k
        nearest.append(chosen)
    links = coo_array(([1] * count, (range(count), nearest)), shape=(count, count))
    return connected_components(links, directed=False)[1].tolist()


def partition_of(labels: Any) -> list[int]:
    """The first row with the label of each row, so that labels of any numbers can be compared."""
    labels = [int(label) for label in labels]
    return [labels.index(label) for label in labels]


def average_oracle(features: Tensor, superpixels: Tensor, normalize: str) -> Tensor:
    """The average superpixel map, pixel by pixel."""
    maps = []
    for image, labels in zip(features, superpixels.flatten(1).tolist(), strict=True):
        pixels = image.flatten(1).mean(0)
        values = []
        for label in labels:
            members = [pixel for pixel, other in zip(pixels, labels, strict=True) if other == label]
            values.append(sum(members) / (len(labels) if normalize == "map" else len(members)))
        maps.append(torch.stack(values))
    return torch.stack(maps)


def assert_tiles_change_nothing(monkeypatch: Any, loss: Callable[[], Tensor], rows: int, *leaves: Tensor) -> None:
    """Loss and gradients with tiles of one anchor, of a prime number and of all, for ``rows`` rows in all problems."""
    expected = torch.autograd.grad(whole := loss(), leaves)
    for anchors in 1, 3, 10**6:
        monkeypatch.setitem(kernel.TILE_ELEMENTS, "cpu", anchors * rows)
        value = loss()
        torch.testing.assert_close(value, whole, rtol=0, atol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(value, leaves), expected, rtol=0, atol=1e-12)


def assert_never_waits(function: Callable[..., Tensor], *arguments: Tensor) -> None:
    """Forward and backward on tensors without values: to ask for a value, or a size that depends on one, raises."""
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(argument) for argument in arguments]
        result = function(*fakes)
        if result.requires_grad:
            result.sum().backward()


class PeakBytes(TorchDispatchMode):
    """The most bytes alive at a time of all tensors made under it."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self.alive:
            self.alive[storage._cdata] = storage.nbytes()
            weakref.finalize(storage, self.alive.pop, storage._cdata, None)
            self.peak = max(self.peak, sum(self.alive.values()))
