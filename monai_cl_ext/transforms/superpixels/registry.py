# SPDX-License-Identifier: Apache-2.0
"""The registry of superpixel backends, and what they share."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .connectivity import enforce_connectivity
from .lab import lab_features
from .weights import load_weights, remedy

ITERATIONS = 10
SMALLEST = 0.06
"""Part of the mean size that a segment of a learned backend has at least, as both papers' releases have it."""

Segment = Callable[[Any, Tensor, int, float], Tensor]
"""From the imported module, or the network of a learned backend, an image (C, *S), a number of segments and a
compactness to a label map (*S)."""


@dataclass(frozen=True)
class Backend:
    """A library's, or a trained network's, segmentation of one image into superpixels.

    Attributes:
        name: by which users choose it.
        segment: the segmentation.
        module: that is imported, or empty.
        package: that holds the module.
        extra: of this package, that installs it.
        volumes: whether it takes 3D images.
        network: name of a network in the module, where the segmentation is learned; it needs weights.
    """

    name: str
    segment: Segment
    module: str = ""
    package: str = ""
    extra: str = ""
    volumes: bool = False
    network: str = ""

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

    def learned(self, weights: str | Path, n_segments: int) -> nn.Module | None:
        """The network with its weights, ready for use; None for a backend that is not learned.

        It warns of weights that were trained for another number of segments.

        Raises:
            ValueError: when weights are missing, do not fit, or are given to a backend that takes none.
        """
        if not self.network:
            if weights:
                learned = ", ".join(repr(each.name) for each in BACKENDS.values() if each.network)
                raise ValueError(
                    f"weights: backend {self.name!r} takes none, found {str(weights)!r}; leave them out, or take a"
                    f" learned backend ({learned}): " + remedy("BACKEND")
                )
            return None
        if not weights:
            raise ValueError(f"weights: backend {self.name!r} needs a file of them, found none; {remedy(self.name)}")
        network: nn.Module = getattr(self.load(), self.network)()
        trained = load_weights(Path(weights).expanduser(), self.name, network).get("n_segments", n_segments)
        if trained != n_segments:
            warnings.warn(f"weights {weights}: trained for n_segments {trained}, found {n_segments}", stacklevel=3)
        return network.eval().requires_grad_(False)

    def __call__(self, image: Tensor, n_segments: int, compactness: float, network: nn.Module | None = None) -> Tensor:
        """The label map (*S) of an image (C, *S); a learned backend works on the image's device with its network."""
        if image.ndim != 3 and not self.volumes:
            others = ", ".join(repr(each.name) for each in BACKENDS.values() if each.volumes)
            raise ValueError(
                f"backend {self.name!r} works on 2D images (C, H, W) only, found {tuple(image.shape)}:"
                f" take one of {others} for volumes"
            )
        tool = self.load() if network is None else network.to(image.device)
        return self.segment(tool, image, n_segments, compactness)


BACKENDS: dict[str, Backend] = {}
"""All backends by their names."""


def backend(
    name: str, module: str = "", package: str = "", extra: str = "", volumes: bool = False, network: str = ""
) -> Callable[[Segment], Segment]:
    """Registers a segmentation function as a ``Backend`` of these attributes."""

    def register(segment: Segment) -> Segment:
        BACKENDS[name] = Backend(name, segment, module, package, extra, volumes, network)
        return segment

    return register


def features_of(image: Tensor) -> Tensor:
    """The Lab features (1, F, *S) of an image (C, *S), on the CPU."""
    return lab_features(image.cpu()[None])


def channel_last(features: Tensor) -> NDArray[np.float32]:
    """Features (1, F, *S) as an array (*S, F)."""
    return features[0].movedim(0, -1).contiguous().numpy()


def connected(labels: NDArray[np.integer], features: Tensor, smallest: int) -> Tensor:
    """The label map with every part connected through faces a segment of its own, and small parts merged."""
    return enforce_connectivity(torch.from_numpy(labels.astype(np.int64))[None], features, smallest)[0]


def learned_segments(labels: Tensor, color: Tensor, count: int) -> Tensor:
    """The connected segments (H, W) of a network's labels (H, W) for colors (1, F, H, W) and ``count`` segments."""
    return enforce_connectivity(labels[None], color, max(1, round(SMALLEST * labels.numel() / count)))[0]


def mean_size(size: tuple[int, ...], n_segments: int) -> int:
    """Pixels of a segment on average."""
    return max(1, math.prod(size) // n_segments)
