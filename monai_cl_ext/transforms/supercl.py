# SPDX-License-Identifier: Apache-2.0
"""The view policy of SuperCL (Zeng et al., IEEE TIP 2026)."""

from __future__ import annotations

from collections.abc import Sequence

from .blur import GaussianBlur
from .intensity import Contrast, IntensityScaling
from .intensity_range import ClampIntensity, UnitRange
from .policy import ViewPolicy


def supercl_policy(
    size: int | Sequence[int] | None = None,
    spatial_dims: int = 2,
    brightness: tuple[float, float] = (0.1, 1.0),
    contrast: tuple[float, float] = (0.8, 1.2),
    blur: tuple[float, float] = (1.0, 3.0),
    kernel_size: int = 3,
) -> ViewPolicy:
    """Views that leave every place where it is: a brightness factor, contrast and blur of the image in [0, 1].

    These are views 1 and 2 of the method. Views 3 and 4 are made from them by ``pcl_policy``
    (``PrepareViews(policies, made_from=[None, None, 0, 1])``).

    The numbers are those of the code released for CHD and KiTS, but that it draws brightness from U(0, 1), where a
    factor of 0 leaves nothing of the image; it also rounds to 8 bits after every step, which is left out. The image is
    brought to [0, 1] first and last. The last time takes back every factor and offset: of brightness and contrast only
    what contrast clips at 0 and 1 remains, as in the release but for its rounding.

    Args:
        size: spatial size of the view; None keeps the input's.
        spatial_dims: 2 or 3.
        brightness: range of the factor of the intensities, above 0.
        contrast: range of the factor about the mean of the image; what leaves [0, 1] is clipped.
        blur: range of the standard deviation of the Gaussian, in voxels.
        kernel_size: voxels that its kernel spans along each axis, odd.
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
