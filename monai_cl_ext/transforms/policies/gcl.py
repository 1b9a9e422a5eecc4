# SPDX-License-Identifier: Apache-2.0
"""The view policies of GCL (Chaitanya et al. 2020): pre-training views and fine-tuning augmentation."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.crop_resize import CropResize
from ..operations.elastic import ElasticDeformation
from ..operations.intensity import Contrast, IntensityShift
from ..operations.intensity_range import ClampIntensity
from ..operations.mirror import Mirror
from ..operations.operation import IntensityOperation, SpatialOperation
from ..operations.rotation import Rotation, StepRotation
from ..operations.scaling import Scaling
from .policy import ViewPolicy


def identity_policy(size: int | Sequence[int] | None = None, spatial_dims: int = 2) -> ViewPolicy:
    """The batch unchanged, resampled where ``size`` says so.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
    """
    return ViewPolicy([], size, spatial_dims)


def gcl_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: float = 100 / 192,
    shift: float = 0.3,
    contrast: float = 0.3,
    maximum: float | None = 1.5,
    location: tuple[float, float] = (10 / 92, 69 / 92),
) -> ViewPolicy:
    """Views of GCL's global stage: crop and resize, then intensity shift, contrast and clipping.

    The numbers are the released code's, for intensities that percentiles scaled to about [0, 1]; each image has its own
    parameters, as in the paper.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        crop: side of the box as a fraction of each side (100 of 192 pixels).
        shift: b of the offset U(-b, b).
        contrast: c of the factor U(1 - c, 1 + c) about the mean of the image.
        maximum: intensities are clipped to [0, maximum], so that images of another range, such as CT in HU or gray
            values to 255, lose what lies beyond: scale them first; None, for standardized images, clips nothing.
        location: range of the box's location within its slack, 0 the low and 1 the high end (corners at 10 to 69 of the
            92 pixels that a box of 100 can move in 192).
    """
    crop_resize = CropResize(crop, location, spatial_dims)
    return ViewPolicy([crop_resize, *_intensity(shift, contrast, maximum)], size, spatial_dims)


def gcl_intensity_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    shift: float = 0.3,
    contrast: float = 0.3,
    maximum: float | None = 1.5,
) -> ViewPolicy:
    """Views of GCL's local stage: the intensity operations of ``gcl_policy``, without any motion.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        shift, contrast, maximum: as in ``gcl_policy``.
    """
    return ViewPolicy(_intensity(shift, contrast, maximum), size, spatial_dims)


def gcl_finetune_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float | Sequence[float] = 15.0,
    scaling: float = 0.05,
    mirror_axis: int = -1,
    elastic: float = 5 / 192,
    affine_probability: float = 0.2,
    elastic_probability: float = 0.5,
    intensity_probability: float = 0.5,
) -> ViewPolicy:
    """GCL's augmentation of labeled batches: affine, elastic deformation, contrast and intensity shift.

    The magnitudes are the released code's; each operation has its own probability, independently. Multiples of 45
    degrees, the contrast factor U(0.8, 1.2) and the offset U(-0.1, 0.1) are changed by ``ViewPolicy.replace``.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees, or in 3D one about each axis, as in ``Rotation``; about an axis of 0 there
            is no multiple of 45 degrees either.
        scaling: s of the factor U(1 - s, 1 + s).
        mirror_axis: spatial axis along which left and right lie.
        elastic: standard deviation of the displacement of the control points, 3 along each axis, as a fraction of the
            side (5 of 192 pixels).
        affine_probability: chance of rotation, of a multiple of 45 degrees and of scaling; a flip has half of it.
        elastic_probability: chance of deformation.
        intensity_probability: chance of contrast, and of the shift.
    """
    about = None
    if isinstance(rotation, Sequence) and spatial_dims == 3:
        about = [axis for axis, angle in enumerate(rotation) if angle]
    operations: list[IntensityOperation | SpatialOperation] = [
        Rotation(rotation, spatial_dims, affine_probability),
        StepRotation(45.0, spatial_dims, affine_probability, about),
        Scaling(1 - scaling, 1 + scaling, spatial_dims, affine_probability),
        Mirror(mirror_axis, spatial_dims, affine_probability / 2),
        ElasticDeformation(elastic, 3, spatial_dims, elastic_probability),
        Contrast(0.8, 1.2, intensity_probability),
        IntensityShift(-0.1, 0.1, intensity_probability),
    ]
    return ViewPolicy(operations, size, spatial_dims, padding_mode="zeros")


def _intensity(shift: float, contrast: float, maximum: float | None) -> list[IntensityOperation]:
    return [
        IntensityShift(-shift, shift),
        Contrast(1 - contrast, 1 + contrast),
        *([] if maximum is None else [ClampIntensity(0.0, maximum)]),
    ]
