# SPDX-License-Identifier: Apache-2.0
"""Superpixel maps as MONAI transforms."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends
from torch import Tensor

from monai_cl_ext.arguments import one_of, per_axis, positive_integer, positive_number
from monai_cl_ext.files import sha256_of

from ..plain import plain, settled
from .backends import BACKENDS
from .weights import settings_of

FEW = (
    "an image has fewer than a quarter of the {} superpixels that were asked of backend {!r}: noise joins those of "
    "'skimage'; smooth images first, or take another backend, such as 'torch'"
)
OTHER = "backend {!r}: the weights were trained on images of {}, found {}; train them on images as they are here"


class Superpixel(Transform):
    """The superpixel map, or supervoxel map, of one image.

    Segments are connected through faces and numbered from 0; the map is deterministic. Colors are compared in Lab, a
    single channel as a gray picture, whatever its range, and three always as red, green and blue: ``compactness`` means
    the same in every backend as in scikit-image's SLIC of RGB pictures. Places are compared in voxels, and the spacing
    of a MetaTensor is not read: where the axes differ in spacing, resample first (``monai.transforms.Spacing``), or
    choose ``n_segments`` for the voxels.

    Args:
        n_segments: approximate number of segments of a map.
        compactness: weight of location against lightness 0 ... 100; higher gives squarer segments. ``felzenszwalb``,
            ``opencv_seeds`` and the learned backends have no such weight.
        backend: ``"skimage"`` (SLIC, the reference), ``"felzenszwalb"``, ``"opencv_slic"``, ``"opencv_lsc"``,
            ``"opencv_seeds"``, ``"simpleitk"`` (SLIC), ``"snic"``, ``"torch"`` (``batched_slic``, on the image's
            device), or the learned ``"lnsnet"`` and ``"superpixel_fcn"`` (2D images of 1 or 3 channels, on their
            device). ``skimage``, ``simpleitk``, ``snic`` and ``torch`` take 2D and 3D, the others 2D. A constant image
            becomes a grid, by ``felzenszwalb`` and ``opencv_lsc`` a single segment.
        weights: file that ``python -m monai_cl_ext superpixels train`` wrote, for a learned backend alone; it warns of
            images of another size or number of channels than they were trained on.

    Attributes:
        weights: SHA-256 of the file of weights, or empty; by it stored maps and resumed runs know other weights.

    Raises:
        ImportError: when the backend's package is missing.
        ValueError: when an argument is out of range, weights are missing or do not fit, or an image has another number
            of axes or values that are not finite.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(
        self, n_segments: int = 100, compactness: float = 10.0, backend: str = "skimage", weights: str | Path = ""
    ) -> None:
        self.n_segments = positive_integer("n_segments", n_segments)
        self.compactness = positive_number("compactness", compactness)
        self.method = one_of("backend", backend, BACKENDS)
        BACKENDS[backend].load()
        self._network = BACKENDS[backend].learned(weights, self.n_segments)
        self.weights = sha256_of(Path(weights).expanduser()) if weights else ""
        self._trained_on = _shape(settings_of(Path(weights).expanduser())) if weights else {}

    def __call__(self, img: np.ndarray | Tensor) -> Tensor:
        """The map (1, *S) int32 of an image (C, *S), on its device; of a MetaTensor, with its metadata."""
        image = settled(img)
        values = plain(image)
        if values.ndim not in (3, 4) or values.numel() == 0:
            raise ValueError(f"an image must be (C, H, W) or (C, H, W, D) and not empty, found {tuple(values.shape)}")
        values = values.detach() if values.dtype == torch.float64 else values.detach().float()
        if not values.isfinite().all():
            raise ValueError("an image has values that are not finite: replace NaN and infinity before superpixels")
        found = {"channels": len(values), "image_size": tuple(values.shape[1:])}
        if other := {name: value for name, value in self._trained_on.items() if value != found[name]}:
            warnings.warn(OTHER.format(self.method, other, {name: found[name] for name in other}), stacklevel=2)
        labels = BACKENDS[self.method](values, self.n_segments, self.compactness, self._network)
        labels = labels[None].int().to(values.device)
        if 4 * (int(labels.max()) + 1) < min(self.n_segments, labels.numel()) and values.max() > values.min():
            warnings.warn(FEW.format(self.n_segments, self.method), stacklevel=2)
        return MetaTensor(labels).copy_meta_from(image) if isinstance(image, MetaTensor) else labels


def _shape(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings of a training of superpixels tell of its images: "channels" and "image_size", or nothing."""
    told: dict[str, Any] = {"channels": 3 if settings["color"] else 1} if "color" in settings else {}
    if settings.get("image_size"):
        told["image_size"] = per_axis("image_size", settings["image_size"], 2, positive_integer)
    return told


class Superpixeld(MapTransform):
    """``Superpixel`` of the given keys as a dictionary transform; the images do not change.

    Args:
        keys: images (C, *S).
        n_segments, compactness, backend, weights: as in ``Superpixel``.
        output_key: where the map (1, *S) int32 goes: one name for one key, or as many names as keys.
        allow_missing_keys: leave out keys that an item does not have.
    """

    backend = Superpixel.backend

    def __init__(
        self,
        keys: KeysCollection,
        n_segments: int = 100,
        compactness: float = 10.0,
        backend: str = "skimage",
        output_key: str | Sequence[str] = "superpixel",
        allow_missing_keys: bool = False,
        weights: str | Path = "",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_key = (output_key,) if isinstance(output_key, str) else tuple(output_key)
        if len(self.output_key) != len(self.keys) or len(set(self.output_key)) != len(self.output_key):
            raise ValueError(
                f"output_key must name a different entry for each of the keys {self.keys}, found {output_key!r}"
            )
        self.superpixel = Superpixel(n_segments, compactness, backend, weights)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with the map of each key."""
        item = dict(data)
        for key, output_key in self.key_iterator(item, self.output_key):
            item[output_key] = self.superpixel(item[key])
        return item


SuperpixelD = SuperpixelDict = Superpixeld
