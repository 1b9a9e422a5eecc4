# SPDX-License-Identifier: Apache-2.0
"""The view policy of SuperCL (Zeng et al., IEEE TIP 2026)."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.blur import GaussianBlur
from ..operations.intensity import Contrast, IntensityScaling
from ..operations.intensity_range import ClampIntensity, UnitRange
from .policy import ViewPolicy


def supercl_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    brightness: tuple[float, float] = (0.1, 1.0),
    contrast: tuple[float, float] = (0.8, 1.2),
    blur: tuple[float, float] = (1.0, 3.0),
    kernel_size: int = 3,
) -> ViewPolicy:
    """SuperCL's intensity views: brightness, contrast and blur of the image rescaled to [0, 1], without any motion.

    These are views 1 and 2 of the method. Views 3 and 4 are made from them by ``pcl_policy``
    (``PrepareViews(policies, made_from=[None, None, 0, 1])``). The magnitudes are the released code's. The image is
    rescaled to [0, 1] first and last, so that of brightness and contrast only what contrast clips at 0 and 1 remains.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        brightness: range of the factor, above 0 (torchvision's brightness).
        contrast: range of the factor about the mean of the image; clipped to [0, 1].
        blur: range of the standard deviation of the Gaussian, in voxels.
        kernel_size: taps of its kernel along each axis, odd.
    """
    operations = [
        UnitRange(),
        IntensityScaling(*brightness),
        Contrast(*contrast),
        ClampIntensity(0.0, 1.0),
        GaussianBlur(*blur, kernel_size),
        UnitRange(),
    ]
    return ViewPolicy(operations, size, spatial_dims)
