# SPDX-License-Identifier: Apache-2.0
"""The view policy of PCL (Zeng et al., MICCAI 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.elastic import ElasticDeformation
from ..operations.mirror import Mirror
from ..operations.operation_group import OperationGroup
from ..operations.rotation import Rotation
from ..operations.scaling import Scaling
from .policy import ViewPolicy


def pcl_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    rotation: float | Sequence[float] = 180.0,
    scaling: tuple[float, float] = (0.7, 1.3),
    elastic: float = 2.9 / 352,
    elastic_points: int = 11,
    mirror_probability: float = 0.5,
    probability: float = 0.67,
) -> ViewPolicy:
    """PCL's views and augmentation: flips, then scaling, rotation and elastic deformation, all or none.

    The magnitudes are the released code's, which uses them for pre-training and for fine-tuning; intensities do not
    change. The elastic deformation has the root mean square of displacements and of their slopes of the release.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        rotation: largest angle in degrees, or in 3D one about each axis, as in ``Rotation``.
        scaling: range of the magnification factor.
        elastic: standard deviation of a control point's displacement along each axis, as a fraction of the side.
        elastic_points: control points along each axis.
        mirror_probability: chance of each axis to be flipped.
        probability: chance of scaling, rotation and deformation.
    """
    spatial = [
        Scaling(*scaling, spatial_dims),
        Rotation(rotation, spatial_dims),
        ElasticDeformation(elastic, elastic_points, spatial_dims),
    ]
    mirror = Mirror(tuple(range(spatial_dims)), spatial_dims, mirror_probability)
    return ViewPolicy([mirror, OperationGroup(spatial, probability)], size, spatial_dims, padding_mode="zeros")
