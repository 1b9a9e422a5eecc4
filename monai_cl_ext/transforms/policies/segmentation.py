# SPDX-License-Identifier: Apache-2.0
"""Heavy augmentation of labeled images, for training with few labels."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.bias_field import PolynomialBiasField
from ..operations.blur import GaussianBlur
from ..operations.elastic import ElasticDeformation
from ..operations.intensity import Contrast, IntensityShift
from ..operations.mirror import Mirror
from ..operations.noise import AdditiveNoise
from ..operations.operation import Operation
from ..operations.rotation import Rotation
from ..operations.scaling import Scaling
from ..operations.translation import Translation
from .policy import ViewPolicy

ACQUISITION = 0.2
"""Chance of each artifact of acquisition: bias field, blur, noise."""

BIAS = {2: 0.5, 3: 0.25}
"""Largest coefficient of the bias field, of which there are 10 in 2D and 20 in 3D: the field is as strong in both."""


def segmentation_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float | Sequence[float] = 30.0,
    scaling: float = 0.3,
    translation: float = 0.1,
    elastic: float = 5 / 192,
    contrast: float = 0.4,
    mirror_probability: float = 0.0,
    probability: float = 0.8,
) -> ViewPolicy:
    """Heavy augmentation in the manner of nnU-Net (Isensee et al. 2021), for intensities of about [0, 1].

    Most images are rotated, scaled and moved, half of them are deformed, and contrast and brightness change; some get a
    bias field, blur or noise. With few labels a lighter augmentation overfits: such a baseline makes any other method
    look good.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees, or in 3D one about each axis, as in ``Rotation``.
        scaling: s of the factor U(1 - s, 1 + s).
        translation: largest shift as a fraction of each side.
        elastic: standard deviation of the control points' displacement, as a fraction of the side.
        contrast: c of the factor U(1 - c, 1 + c); the offset is U(-c / 2, c / 2).
        mirror_probability: chance of a flip along the last axis; 0 keeps left and right.
        probability: chance of rotation, of scaling, of translation, of contrast and of the offset.
    """
    mirror: list[Operation] = [Mirror(-1, spatial_dims, mirror_probability)] if mirror_probability else []
    return ViewPolicy(
        [
            Rotation(rotation, spatial_dims, probability),
            Scaling(1 - scaling, 1 + scaling, spatial_dims, probability),
            Translation(translation, spatial_dims, probability),
            *mirror,
            ElasticDeformation(elastic, 3, spatial_dims, probability=0.5),
            Contrast(1 - contrast, 1 + contrast, probability),
            IntensityShift(-contrast / 2, contrast / 2, probability),
            PolynomialBiasField(0.0, BIAS[spatial_dims], degree=3, spatial_dims=spatial_dims, probability=ACQUISITION),
            GaussianBlur(0.5, 1.0, probability=ACQUISITION),
            AdditiveNoise(0.0, 0.1, probability=ACQUISITION),
        ],
        size,
        spatial_dims,
        padding_mode="zeros",
    )
