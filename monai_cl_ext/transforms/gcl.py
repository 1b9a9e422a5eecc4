# SPDX-License-Identifier: Apache-2.0
"""The view policies of GCL (Chaitanya et al. 2020): pre-training views and fine-tuning augmentation."""

from __future__ import annotations

from collections.abc import Sequence

from .elastic import ElasticDeformation
from .intensity import Brightness, Contrast
from .intensity_range import ClampIntensity
from .operation import IntensityOperation, SpatialOperation
from .policy import ViewPolicy
from .spatial import CropResize, Mirror, Rotation, Scaling, Turn


def identity_policy(size: int | Sequence[int] | None = None, spatial_dims: int = 2) -> ViewPolicy:
    """The batch as it is, resampled where ``size`` says so.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
    """
    return ViewPolicy([], size, spatial_dims)


def gcl_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    crop: float = 100 / 192,
    brightness: float = 0.3,
    contrast: float = 0.3,
    maximum: float = 1.5,
    place: tuple[float, float] = (10 / 92, 69 / 92),
) -> ViewPolicy:
    """Views of the global stage: crop and resize, then brightness, contrast and clipping.

    The numbers are those of the released code, for intensities that percentiles brought to about [0, 1]. The paper
    draws for each image; the released code draws one brightness and one contrast for a whole batch, here each image has
    its own.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        crop: side of the box as a fraction of each side (100 of 192 pixels).
        brightness: b of the offset U(-b, b).
        contrast: c of the factor U(1 - c, 1 + c) about the mean of the image.
        maximum: intensities are clipped to [0, maximum].
        place: range of the box's place in the room that it has, 0 the low and 1 the high end (corners at 10 to 69 of
            the 92 pixels that a box of 100 can move in 192).
    """
    crop_resize = CropResize(crop, place, spatial_dims)
    return ViewPolicy([crop_resize, *_intensity(brightness, contrast, maximum)], size, spatial_dims)


def gcl_intensity_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    brightness: float = 0.3,
    contrast: float = 0.3,
    maximum: float = 1.5,
) -> ViewPolicy:
    """Views of the local stage: the intensity half of ``gcl_policy``, so that every place stays where it is.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        brightness: as in ``gcl_policy``.
        contrast: as in ``gcl_policy``.
        maximum: as in ``gcl_policy``.
    """
    return ViewPolicy(_intensity(brightness, contrast, maximum), size, spatial_dims)


def gcl_finetune_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float = 15.0,
    turn: float = 45.0,
    scaling: float = 0.05,
    mirror_axis: int = -1,
    elastic: float = 5 / 192,
    contrast: float = 0.2,
    brightness: float = 0.1,
    affine_probability: float = 0.2,
    elastic_probability: float = 0.5,
    intensity_probability: float = 0.5,
) -> ViewPolicy:
    """Augmentation of labelled batches: rotation, scale, flip, elastic deformation, contrast and brightness.

    The paper lists the actions; their magnitudes are the released code's. There each image has one of five
    affine actions (rotation, scale, flip, a multiple of 45 degrees, none), about half of the batch is deformed, and
    contrast falls to one half of a batch, brightness to the other, though a slip in the release drops them where
    deformation is on. Here, as the paper says, all act: each with its own probability, independently.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees.
        turn: rotation by a random multiple of this angle in degrees.
        scaling: s of the factor U(1 - s, 1 + s).
        mirror_axis: spatial axis along which left and right lie.
        elastic: standard deviation of the 3 x 3 control points' displacement, as a fraction of the side (5 of 192
            pixels).
        contrast: c of the factor U(1 - c, 1 + c).
        brightness: b of the offset U(-b, b).
        affine_probability: chance of rotation, of a turn and of scaling; a flip has half of it.
        elastic_probability: chance of deformation.
        intensity_probability: chance of contrast, and of brightness.
    """
    operations: list[IntensityOperation | SpatialOperation] = [
        Rotation(rotation, spatial_dims, affine_probability),
        Turn(turn, spatial_dims, affine_probability),
        Scaling(1 - scaling, 1 + scaling, spatial_dims, affine_probability),
        Mirror(mirror_axis, spatial_dims, affine_probability / 2),
        ElasticDeformation(elastic, 3, spatial_dims, elastic_probability),
        Contrast(1 - contrast, 1 + contrast, intensity_probability),
        Brightness(-brightness, brightness, intensity_probability),
    ]
    return ViewPolicy(operations, size, spatial_dims, padding="zeros")


def _intensity(brightness: float, contrast: float, maximum: float) -> list[IntensityOperation]:
    return [
        Brightness(-brightness, brightness),
        Contrast(1 - contrast, 1 + contrast),
        ClampIntensity(0.0, maximum),
    ]
