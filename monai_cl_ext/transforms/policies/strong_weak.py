# SPDX-License-Identifier: Apache-2.0
"""Strong and weak view policies: of DINO, and of Cheng et al. (arXiv 2501.02451), who weaken it for medical images."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.area_crop_resize import AreaCropResize
from ..operations.bias_field import PolynomialBiasField
from ..operations.blur import GaussianBlur
from ..operations.color import Grayscale
from ..operations.color_jitter import color_jitter
from ..operations.intensity import Solarization
from ..operations.intensity_range import ClampIntensity, Limits
from ..operations.mirror import Mirror
from ..operations.noise import AdditiveNoise
from ..operations.operation import Operation
from .policy import ViewPolicy

Jitter = tuple[float, float, float, float]
"""Brightness, contrast, saturation and hue, as in ``color_jitter``."""

DINO_BLUR = (0.1, 2.0)
"""Smallest and largest standard deviation of DINO's blur, in voxels."""


def strong_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.4, 1.0),
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    color: bool = True,
    blur_probability: float = 0.5,
    solarize_probability: float = 0.0,
    limits: Limits | None = (0.0, 1.0),
) -> ViewPolicy:
    """The strong augmentation of Cheng et al. (arXiv 2501.02451, Table 2), which is DINO's.

    Random resized crop, flip, color jitter (brightness 0.4, contrast 0.4, saturation 0.2, hue 0.1; p 0.8), grayscale
    (p 0.2), Gaussian blur of 0.1 to 2 voxels, solarization. Other magnitudes are set by ``ViewPolicy.replace`` and
    ``with_operations``.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        crop: range of the box's area as a fraction of the image's; the default is of a global view, (0.05, 0.4) of a
            local one.
        mirror_axis: spatial axis along which left and right lie.
        mirror_probability: chance of a flip along it; 0 disables flips.
        color: False leaves out saturation, hue and grayscale, for images that are not RGB.
        blur_probability: chance of blur; 0 disables it.
        solarize_probability: chance that intensities above 0.5 are inverted.
        limits: range of the intensities, to which the jitter clips; images that leave [0, 1], such as standardized
            ones, CT in HU or gray values to 255, lose what lies beyond: scale them, or give None, which clips nothing.
    """
    operations = [
        *_geometry(crop, mirror_axis, mirror_probability, spatial_dims),
        *_photometry((0.4, 0.4, 0.2, 0.1), color, limits),
        *_dino(blur_probability, solarize_probability),
    ]
    return ViewPolicy(operations, size, spatial_dims)


def weak_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.5, 1.0),
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    color: bool = True,
    blur_probability: float = 0.5,
    solarize_probability: float = 0.0,
    limits: Limits | None = (0.0, 1.0),
) -> ViewPolicy:
    """The weak augmentation of Cheng et al. (arXiv 2501.02451, Table 2): larger crops and half of the jitter.

    ``strong_policy`` with a brightness and contrast of 0.2.

    Args:
        crop: range of the box's area; the default is of a global view, (0.2, 0.5) of a local one.
        size, spatial_dims, mirror_axis, mirror_probability, color: as in ``strong_policy``.
        blur_probability, solarize_probability, limits: as in ``strong_policy``.
    """
    operations = [
        *_geometry(crop, mirror_axis, mirror_probability, spatial_dims),
        *_photometry((0.2, 0.2, 0.2, 0.1), color, limits),
        *_dino(blur_probability, solarize_probability),
    ]
    return ViewPolicy(operations, size, spatial_dims)


def weak_med_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.5, 1.0),
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    color: bool = True,
    blur_probability: float = 0.5,
    solarize_probability: float = 0.0,
    limits: Limits | None = (0.0, 1.0),
) -> ViewPolicy:
    """The weak augmentation of Cheng et al. with artifacts of acquisition, their "weak+med".

    ``weak_policy``, then a bias field, blur and noise of 0.1 each, read as U(0, 0.1), with a probability of 0.5 each,
    in the order in which an image is formed.

    Args:
        limits: as in ``strong_policy``; the image with its artifacts is clipped to them as well.
        size, spatial_dims, crop, mirror_axis, mirror_probability: as in ``weak_policy``.
        color, blur_probability, solarize_probability: as in ``weak_policy``.
    """
    weak = weak_policy(
        size, spatial_dims, crop, mirror_axis, mirror_probability, color, blur_probability, solarize_probability, limits
    )
    artifacts: list[Operation] = [
        PolynomialBiasField(0.0, 0.1, degree=3, spatial_dims=spatial_dims, probability=0.5),
        GaussianBlur(0.0, 0.1, probability=0.5),
        AdditiveNoise(0.0, 0.1, probability=0.5),
    ]
    clip = [] if limits is None else [ClampIntensity(*limits)]
    return weak.with_operations([*weak.operations, *artifacts, *clip])


def simclr_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.08, 1.0),
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    color: bool = True,
    blur_probability: float = 0.5,
    solarize_probability: float = 0.0,
    limits: Limits | None = (0.0, 1.0),
) -> ViewPolicy:
    """SimCLR's augmentation (Chen et al. 2020), the strong one of Idris et al. (arXiv 2512.05992).

    ``strong_policy`` with smaller crops and the color jitter of SimCLR's released code at strength 1 (brightness,
    contrast and saturation 0.8, hue 0.2).

    Args:
        crop: range of the box's area as a fraction of the image's.
        size, spatial_dims, mirror_axis, mirror_probability, color: as in ``strong_policy``.
        blur_probability, solarize_probability, limits: as in ``strong_policy``.
    """
    operations = [
        *_geometry(crop, mirror_axis, mirror_probability, spatial_dims),
        *_photometry((0.8, 0.8, 0.8, 0.2), color, limits),
        *_dino(blur_probability, solarize_probability),
    ]
    return ViewPolicy(operations, size, spatial_dims)


def _geometry(crop: tuple[float, float], axis: int, probability: float, spatial_dims: int) -> list[Operation]:
    """Random resized crop, and a flip where it has a chance."""
    flip = [Mirror(axis, spatial_dims, probability)] if probability else []
    return [AreaCropResize(crop, spatial_dims=spatial_dims), *flip]


def _photometry(jitter: Jitter, color: bool, limits: Limits | None) -> list[Operation]:
    """Color jitter and grayscale, or brightness and contrast alone."""
    brightness, contrast, saturation, hue = jitter
    if color:
        return [*color_jitter(brightness, contrast, saturation, hue, limits=limits), Grayscale(0.2)]
    return color_jitter(brightness, contrast, 0, 0, limits=limits, mean="channel")


def _dino(blur_probability: float, solarize_probability: float) -> list[Operation]:
    """DINO's blur and solarization, where they have a chance."""
    blur = [GaussianBlur(*DINO_BLUR, probability=blur_probability)] if blur_probability else []
    solarize = [Solarization(0.5, solarize_probability)] if solarize_probability else []
    return [*blur, *solarize]
