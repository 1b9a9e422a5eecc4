# SPDX-License-Identifier: Apache-2.0
"""All superpixel backends; a new one is a decorated function, in a module that is imported here."""

from __future__ import annotations

from torch import Tensor

from . import (  # noqa: F401 - each registers its backends
    fcn_backend,
    lnsnet_backend,
    opencv_backends,
    simpleitk_backend,
    skimage_backends,
    snic,
)
from .registry import BACKENDS, ITERATIONS, backend
from .slic import batched_slic

__all__ = ["BACKENDS"]


@backend("torch", volumes=True)
def torch_slic(_: None, image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """``batched_slic`` of one image, on its device."""
    return batched_slic(image[None], n_segments, compactness, ITERATIONS)[0]
