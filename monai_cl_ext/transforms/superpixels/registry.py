# SPDX-License-Identifier: Apache-2.0
"""The registry of superpixel backends, and what they share."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .connectivity import enforce_connectivity
from .lab import lab_features
from .slic import grid_cells, grid_step

ITERATIONS = 10

Segment = Callable[[Any, Tensor, int, float], Tensor]
"""From the imported module, an image (C, *S), a number of segments and a compactness to a label map (*S)."""


@dataclass(frozen=True)
class Backend:
    """A library's segmentation of one image into superpixels.

    Attributes:
        name: by which users choose it.
        segment: the segmentation.
        module: that is imported, or empty.
        package: that holds the module.
        extra: of this package, that installs it.
        volumes: whether it takes 3D images.
    """

    name: str
    segment: Segment
    module: str = ""
    package: str = ""
    extra: str = ""
    volumes: bool = False

    def load(self) -> Any:
        """The imported module; None for a backend that needs none.

        Raises:
            ImportError: that names the package and the extra, when the module is missing.
        """
        try:
            return importlib.import_module(self.module) if self.module else None
        except ImportError as error:
            raise ImportError(
                f"backend {self.name!r} needs the package {self.package}, but {self.module} cannot be imported"
                f" ({error}): pip install 'monai-cl-ext[{self.extra}]', or take backend='torch', which needs no other"
                " package"
            ) from error

    def __call__(self, image: Tensor, n_segments: int, compactness: float) -> Tensor:
        """The label map (*S) of an image (C, *S)."""
        if image.ndim != 3 and not self.volumes:
            others = ", ".join(repr(each.name) for each in BACKENDS.values() if each.volumes)
            raise ValueError(
                f"backend {self.name!r} works on 2D images (C, H, W) only, found {tuple(image.shape)}:"
                f" take one of {others} for volumes"
            )
        return self.segment(self.load(), image, n_segments, compactness)


BACKENDS: dict[str, Backend] = {}
"""All backends by their names."""


def backend(
    name: str, module: str = "", package: str = "", extra: str = "", volumes: bool = False
) -> Callable[[Segment], Segment]:
    """Registers a segmentation function as a ``Backend`` of these attributes."""

    def register(segment: Segment) -> Segment:
        BACKENDS[name] = Backend(name, segment, module, package, extra, volumes)
        return segment

    return register


def features_of(image: Tensor) -> Tensor:
    """The Lab features (1, F, *S) of an image (C, *S), on the CPU."""
    return lab_features(image.cpu()[None])


def channel_last(features: Tensor) -> NDArray[np.float32]:
    """Features (1, F, *S) as an array (*S, F)."""
    return features[0].movedim(0, -1).contiguous().numpy()


def cell_side(size: tuple[int, ...], n_segments: int) -> int:
    """Side of the square grid cells of about ``n_segments`` segments."""
    return max(1, round(grid_step(size, grid_cells(size, n_segments))))


def connected(labels: NDArray[np.integer], features: Tensor, smallest: int) -> Tensor:
    """The label map with every part connected through faces a segment of its own, and small parts merged."""
    return enforce_connectivity(torch.from_numpy(labels.astype(np.int64))[None], features, smallest)[0]


def mean_size(size: tuple[int, ...], n_segments: int) -> int:
    """Pixels of a segment on average."""
    return max(1, math.prod(size) // n_segments)
