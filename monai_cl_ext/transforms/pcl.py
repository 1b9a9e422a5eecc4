# SPDX-License-Identifier: Apache-2.0
"""The view policy of PCL (Zeng et al., MICCAI 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from .elastic import ElasticDeformation
from .policy import ViewPolicy
from .spatial import Mirror, Rotation, Scaling
from .together import Together


def pcl_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float = 180.0,
    scaling: tuple[float, float] = (0.7, 1.3),
    elastic: float = 2.9 / 352,
    elastic_points: int = 11,
    mirror_probability: float = 0.5,
    probability: float = 0.67,
) -> ViewPolicy:
    """Mirroring, then scale, rotation and elastic deformation together or not at all; intensities stay.

    The numbers are those of the released code, which uses the same for pre-training and for fine-tuning. There the
    deformation is noise from U(-1, 1) at every pixel, smoothed by a Gaussian of sigma U(14, 17) pixels and multiplied
    by alpha U(100, 350): its displacements have a root mean square of alpha / (sigma sqrt(12 pi)), 2.5 pixels over both
    ranges. Here control points carry it; their displacement and distance are chosen so that this figure and that of the
    displacement's slope agree with the release: N(0, 2.9 pixels) every 37 pixels, given as fractions for its ACDC
    images of 352 pixels (for its CHD images of 512: elastic 2.9 / 512, elastic_points 15).

    Two things differ from the release: its factor multiplies coordinates, so that it magnifies by 1 / U(0.7, 1.3), here
    by U(0.7, 1.3); and it reads images by cubic interpolation, here linear.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees.
        scaling: range of the magnification.
        elastic: standard deviation of a control point's displacement along each axis, as a fraction of the side.
        elastic_points: control points along each axis.
        mirror_probability: chance of each axis to be mirrored.
        probability: chance of scale, rotation and deformation.
    """
    spatial = [
        Scaling(*scaling, spatial_dims),
        Rotation(rotation, spatial_dims),
        ElasticDeformation(elastic, elastic_points, spatial_dims),
    ]
    mirror = Mirror(tuple(range(spatial_dims)), spatial_dims, mirror_probability)
    return ViewPolicy([mirror, Together(spatial, probability)], size, spatial_dims, padding="zeros")
