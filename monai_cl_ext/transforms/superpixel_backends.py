# SPDX-License-Identifier: Apache-2.0
"""Superpixels of one image by scikit-image, OpenCV, SimpleITK or the batched SLIC, with one meaning of compactness."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .connectivity import enforce_connectivity
from .lab import lab_features
from .slic import batched_slic, grid_cells

Backend: TypeAlias = Callable[[Tensor, int, float], Tensor]
"""From an image (C, *S), a number of segments and a compactness to a label map (*S)."""

ITERATIONS = 10


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on a single thread, since its sums over several do not come out the same every time."""
    opencv = importlib.import_module("cv2")
    threads = opencv.getNumThreads()
    opencv.setNumThreads(1)
    try:
        yield
    finally:
        opencv.setNumThreads(threads)


def skimage_slic(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """``skimage.segmentation.slic``: one channel as a grey picture in RGB, three as RGB, others by ``lab_features``."""
    slic = _package("skimage").slic
    values, convert = image.cpu(), True
    if len(values) not in (1, 3):
        values, convert = lab_features(values[None])[0], False
        compactness = compactness * math.sqrt(len(values)) / 100  # slic brings the features back to [0, 1]
    channels = values.expand(max(3, len(values)), *values.shape[1:]) if convert else values
    picture = channels.movedim(0, -1).contiguous().numpy()
    labels = slic(picture, n_segments, compactness, ITERATIONS, convert2lab=convert, start_label=0, channel_axis=-1)
    return torch.from_numpy(labels)


def felzenszwalb(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Felzenszwalb and Huttenlocher's graph segmentation (scikit-image); it has no compactness, and takes 2D only.

    Its scale falls to a quarter at a time, from half the mean size, as long as the number of segments comes nearer to
    ``n_segments``. No segment is under a quarter of the mean size.
    """
    segment = _package("felzenszwalb").felzenszwalb
    _flat(image, "felzenszwalb")
    features = lab_features(image.cpu()[None])
    picture = (features[0] / 100).movedim(0, -1).double().numpy()
    mean = max(1, picture.shape[0] * picture.shape[1] // n_segments)
    best, apart = torch.zeros(picture.shape[:2], dtype=torch.int32), n_segments
    for step in range(6):
        labels = segment(picture, scale=mean / (2 * 4**step), sigma=0, min_size=mean // 4, channel_axis=-1)
        made = _connected(labels, features, mean // 4)
        missing = abs(int(made.max()) + 1 - n_segments)
        if missing > apart:
            break
        best, apart = made, missing
    return best


@_one_thread()
def opencv_slic(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SLIC of OpenCV's ximgproc, 2D only."""
    ximgproc = _package("opencv_slic")
    features, side = _picture(image, n_segments, "opencv_slic")
    return _opencv(ximgproc.createSuperpixelSLIC(_interleaved(features), ximgproc.SLIC, side, compactness), features)


@_one_thread()
def opencv_lsc(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """Linear spectral clustering (Li and Chen, 2015) of OpenCV's ximgproc, 2D only.

    Its ratio weighs place against colour on a scale where the whole range of lightness is 1: compactness / 100.
    """
    ximgproc = _package("opencv_lsc")
    features, side = _picture(image, n_segments, "opencv_lsc")
    return _opencv(ximgproc.createSuperpixelLSC(_bytes(features), side, compactness / 100), features)


@_one_thread()
def opencv_seeds(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SEEDS (Van den Bergh et al., 2012) of OpenCV's ximgproc: it has no compactness, and takes 2D only.

    Its segments start as blocks whose sides double from level to level, so it gives the nearest number that it can.
    """
    ximgproc = _package("opencv_seeds")
    features, _ = _picture(image, n_segments, "opencv_seeds")
    picture = _bytes(features)
    height, width, channels = picture.shape
    wanted = sorted({max(1, round(n_segments * factor / 8)) for factor in range(6, 17, 2)})
    made = [
        ximgproc.createSuperpixelSEEDS(width, height, channels, number, levels)
        for levels in (4, 3)
        for number in wanted
        if min(height, width) >= 2**levels
    ]
    if not made:
        raise ValueError(f"backend 'opencv_seeds' needs images of at least 8 x 8 pixels, found {height} x {width}")
    seeds = min(made, key=lambda each: abs(each.getNumberOfSuperpixels() - n_segments))
    seeds.iterate(picture, ITERATIONS)
    smallest = height * width // (4 * seeds.getNumberOfSuperpixels())
    return _connected(seeds.getLabels(), features, smallest)


def simpleitk_slic(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """SLIC of SimpleITK, 2D and 3D; by one thread, so that its sums come out the same every time."""
    simpleitk = _package("simpleitk")
    features = lab_features(image.cpu()[None])
    cells = grid_cells(image.shape[1:], n_segments)
    sides = [max(1, round(extent / count)) for extent, count in zip(image.shape[1:], cells, strict=True)]
    slic = simpleitk.SLICImageFilter()
    slic.SetNumberOfWorkUnits(1)
    slic.SetSuperGridSize(sides[::-1])
    slic.SetSpatialProximityWeight(float(compactness))
    slic.SetMaximumNumberOfIterations(ITERATIONS)
    slic.EnforceConnectivityOn()
    slic.InitializationPerturbationOff()
    made = slic.Execute(simpleitk.GetImageFromArray(_interleaved(features), isVector=True))
    labels = simpleitk.GetArrayFromImage(made).astype(np.int64)
    return _connected(labels, features, math.prod(sides) // 4)


def torch_slic(image: Tensor, n_segments: int, compactness: float) -> Tensor:
    """``batched_slic`` of one image, on its device."""
    return batched_slic(image[None], n_segments, compactness, ITERATIONS)[0]


BACKENDS: dict[str, Backend] = {
    "skimage": skimage_slic,
    "felzenszwalb": felzenszwalb,
    "opencv_slic": opencv_slic,
    "opencv_lsc": opencv_lsc,
    "opencv_seeds": opencv_seeds,
    "simpleitk": simpleitk_slic,
    "torch": torch_slic,
}

_NEEDS = {
    "skimage": ("skimage.segmentation", "scikit-image", "superpixels"),
    "felzenszwalb": ("skimage.segmentation", "scikit-image", "superpixels"),
    "opencv_slic": ("cv2.ximgproc", "opencv-contrib-python-headless", "opencv"),
    "opencv_lsc": ("cv2.ximgproc", "opencv-contrib-python-headless", "opencv"),
    "opencv_seeds": ("cv2.ximgproc", "opencv-contrib-python-headless", "opencv"),
    "simpleitk": ("SimpleITK", "SimpleITK", "simpleitk"),
}


def require_backend(name: str) -> None:
    """Nothing where the packages of a backend are there, or an ImportError that names the package and the extra."""
    if name in _NEEDS:
        _package(name)


def _package(backend: str) -> ModuleType:
    module, package, extra = _NEEDS[backend]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"backend {backend!r} needs the package {package}, but {module} cannot be imported ({error}):"
            f" pip install 'monai-cl-ext[{extra}]', or take backend='torch', which needs no other package"
        ) from error


def _flat(image: Tensor, backend: str) -> None:
    if image.ndim != 3:
        raise ValueError(
            f"backend {backend!r} works on 2D images (C, H, W) only, found {tuple(image.shape)}:"
            " take 'skimage', 'simpleitk' or 'torch' for volumes"
        )


def _picture(image: Tensor, n_segments: int, backend: str) -> tuple[Tensor, int]:
    """The features (1, F, H, W) on the CPU and the side of a cell."""
    _flat(image, backend)
    features = lab_features(image.cpu()[None])
    cells = grid_cells(image.shape[1:], n_segments)
    return features, max(1, round(max(extent / count for extent, count in zip(image.shape[1:], cells, strict=True))))


def _interleaved(features: Tensor) -> NDArray[np.float32]:
    return features[0].movedim(0, -1).contiguous().numpy()


def _bytes(features: Tensor) -> NDArray[np.uint8]:
    """Lightness as 0 ... 255, and beside it a and b as OpenCV keeps them: around 128."""
    picture = features[0].movedim(0, -1)
    if picture.shape[-1] == 3:
        picture = picture * picture.new_tensor([2.55, 1, 1]) + picture.new_tensor([0, 128, 128])
    else:
        picture = picture * (2.55 * math.sqrt(picture.shape[-1]))
    return picture.round().clamp(0, 255).byte().contiguous().numpy()


def _opencv(clusters: Any, features: Tensor) -> Tensor:
    clusters.iterate(ITERATIONS)
    mean = features[0, 0].numel() // max(1, clusters.getNumberOfSuperpixels())
    clusters.enforceLabelConnectivity(25)  # per cent of the mean size
    return _connected(clusters.getLabels(), features, mean // 4)


def _connected(labels: NDArray[np.integer], features: Tensor, smallest: int) -> Tensor:
    """The map with each part that touches the rest by a corner only, or not at all, as a segment of its own."""
    return enforce_connectivity(torch.from_numpy(labels.astype(np.int64))[None], features, smallest)[0]
