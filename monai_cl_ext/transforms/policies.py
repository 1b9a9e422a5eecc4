# SPDX-License-Identifier: Apache-2.0
"""Strong and weak view policies: of DINO and SimCLR, and of the papers that weaken them for medical images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .area_crop import AreaCropResize
from .artefacts import AdditiveNoise, PolynomialBiasField
from .blur import GaussianBlur
from .colour import Greyscale
from .colour_jitter import colour_jitter
from .intensity import Solarisation
from .intensity_range import ClampIntensity, Limits
from .operation import Operation
from .policy import ViewPolicy
from .spatial import Mirror, Rotation


def strong_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.4, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.2,
    hue: float = 0.1,
    jitter_probability: float = 0.8,
    grey_probability: float = 0.2,
    native_blur: bool = True,
    blur: tuple[float, float] = (0.1, 2.0),
    blur_probability: float = 0.5,
    solarise_probability: float = 0.0,
    limits: Limits | None = (0.0, 1.0),
) -> ViewPolicy:
    """The strong augmentation of Cheng et al. (arXiv 2501.02451, Table 2), which is that of DINO.

    The defaults are of a global view; a local one has ``size=96, crop=(0.05, 0.4)``. DINO blurs its first global view
    always, its second with probability 0.1 and local ones with 0.5, and solarises the second with probability 0.2.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3; colours exist in RGB images only.
        crop: range of the box's area as a fraction of the image's.
        ratio: range of the ratio of the box's sides.
        mirror_axis: spatial axis along which left and right lie.
        mirror_probability: chance of a flip along it; 0 forbids flips.
        brightness, contrast, saturation, hue: of ``colour_jitter``.
        jitter_probability: chance of all of these together.
        grey_probability: chance of an image without colours.
        native_blur: False leaves out the next three, DINO's own blur and solarisation.
        blur: range of the blur's standard deviation in voxels of the view.
        blur_probability: chance of blur.
        solarise_probability: chance of an image inverted where it is brighter than 0.5.
        limits: range of the intensities, to which the jitter clips; None, for images that leave [0, 1], clips nothing.
    """
    operations: list[Operation] = [
        AreaCropResize(crop, ratio, spatial_dims),
        Mirror(mirror_axis, spatial_dims, mirror_probability),
        *colour_jitter(brightness, contrast, saturation, hue, jitter_probability, limits),
        Greyscale(grey_probability),
    ]
    if native_blur:
        operations += [GaussianBlur(*blur, probability=blur_probability), Solarisation(0.5, solarise_probability)]
    return ViewPolicy(_possible(operations), size, spatial_dims)


def weak_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.5, 1.0),
    brightness: float = 0.2,
    contrast: float = 0.2,
    **others: Any,
) -> ViewPolicy:
    """The weak augmentation of Cheng et al. (arXiv 2501.02451, Table 2): larger crops and half of the jitter.

    The defaults are of a global view; a local one has ``size=96, crop=(0.2, 0.5)``. "Augmentations not listed are
    consistent with the strong augmentations."

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        crop: as in ``strong_policy``.
        brightness, contrast: as in ``strong_policy``.
        others: further arguments of ``strong_policy``.
    """
    return strong_policy(size, spatial_dims, crop, brightness=brightness, contrast=contrast, **others)


def weak_med_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    bias_field: tuple[float, float] = (0.0, 0.1),
    bias_field_degree: int = 3,
    bias_field_probability: float = 0.5,
    medical_blur: tuple[float, float] = (0.0, 0.1),
    medical_blur_probability: float = 0.5,
    noise: tuple[float, float] = (0.0, 0.1),
    noise_probability: float = 0.5,
    limits: Limits | None = (0.0, 1.0),
    **others: Any,
) -> ViewPolicy:
    """The weak augmentation of Cheng et al. (arXiv 2501.02451) with artefacts of retinal cameras, their "weak+med".

    The weak augmentation is followed by uneven illumination, blur and noise, each with a chance of its own, in the
    order in which an image comes about. Table 2 gives 0.1 for each of them, read here as U(0, 0.1). A blur of 0.1
    voxels changes nothing that one could see; (0.1, 1.0) does.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        bias_field: range of the coefficients of ``PolynomialBiasField``.
        bias_field_degree: its degree.
        bias_field_probability: chance of it.
        medical_blur: range of this blur's standard deviation in voxels of the view.
        medical_blur_probability: chance of this blur.
        noise: range of the noise's standard deviation, in the units of the image.
        noise_probability: chance of noise.
        limits: as in ``strong_policy``; here also of the image with its artefacts.
        others: further arguments of ``weak_policy``, and by it of ``strong_policy``.
    """
    weak = weak_policy(size, spatial_dims, limits=limits, **others)
    artefacts: list[Operation] = [
        PolynomialBiasField(*bias_field, bias_field_degree, spatial_dims, bias_field_probability),
        GaussianBlur(*medical_blur, probability=medical_blur_probability),
        AdditiveNoise(*noise, probability=noise_probability),
    ]
    clip = [] if limits is None else [ClampIntensity(*limits)]
    return ViewPolicy([*weak.operations, *_possible(artefacts), *clip], size, spatial_dims)


def basic_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float = 30.0,
    rotation_probability: float = 0.5,
    mirror_axis: int = -1,
    mirror_probability: float = 0.5,
    padding: str = "zeros",
) -> ViewPolicy:
    """The basic augmentation of Idris et al. (arXiv 2512.05992): resize, rotate and flip.

    The paper names the three; the numbers are chosen here.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees.
        rotation_probability: chance of a rotation.
        mirror_axis: spatial axis along which left and right lie.
        mirror_probability: chance of a flip along it; 0 forbids flips.
        padding: what a rotated image holds in its corners: "zeros", or "border" for the nearest voxel's value.
    """
    operations: list[Operation] = [
        Rotation(rotation, spatial_dims, rotation_probability),
        Mirror(mirror_axis, spatial_dims, mirror_probability),
    ]
    return ViewPolicy(_possible(operations), size, spatial_dims, padding)


def simclr_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: tuple[float, float] = (0.08, 1.0),
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
    **others: Any,
) -> ViewPolicy:
    """The augmentation of SimCLR (Chen et al. 2020), the strong one of Idris et al. (arXiv 2512.05992).

    Crop, flip, colour jitter, grey-scale and blur as in ``strong_policy``, with the numbers of the released code at
    colour strength 1. Contrast and saturation are torchvision's; the release has TensorFlow's, with a mean for each
    channel and the saturation of HSV, and a blur cut off at a tenth of the image.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        crop: as in ``strong_policy``.
        brightness, contrast, saturation, hue: as in ``strong_policy``.
        others: further arguments of ``strong_policy``.
    """
    others |= {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    return strong_policy(size, spatial_dims, crop, **others)


def _possible(operations: Sequence[Operation]) -> list[Operation]:
    """The operations that ever act."""
    return [operation for operation in operations if operation.probability > 0]
