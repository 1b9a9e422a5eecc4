# SPDX-License-Identifier: Apache-2.0
"""How the intensities of a volume are brought to a common scale, by stock MONAI transforms."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from monai.transforms import NormalizeIntensityd, ScaleIntensityRanged, ScaleIntensityRangePercentilesd, Transform

from monai_cl_ext.data.intensities import LOWER, UPPER


def intensity_scaling(
    key: str, window: Sequence[float] | None = None, nonzero: bool = False, color: bool = False
) -> Transform:
    """The transform of an image's intensities, which the bundles have as ``scale_intensities``.

    Without arguments each channel goes to (x - p1) / (p99 - p1) with its 1st and 99th percentiles and is not clipped
    (Chaitanya et al. 2020, section 4). A channel of one intensity becomes 0.

    Args:
        key: of the image (C, *S).
        window: the intensities, in HU for CT, that become 0 and 1; those outside are clipped.
        nonzero: each channel is standardized by mean and standard deviation of its voxels that are not 0; the others
            stay 0, as for BraTS.
        color: the channels are colors, which have the percentiles of all of them together.

    Raises:
        ValueError: when the window is not two numbers, low < high, or is given beside ``nonzero``.
    """
    if window is not None:
        low, high = window_ends(window)
        if nonzero:
            raise ValueError(
                f"window {list(window)!r} and nonzero True: expected one of them at most, found both; window is for "
                "CT, nonzero for images whose background is 0"
            )
        return ScaleIntensityRanged(key, a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True)
    if nonzero:
        return NormalizeIntensityd(key, nonzero=True, channel_wise=True)
    return ScaleIntensityRangePercentilesd(
        key, lower=LOWER, upper=UPPER, b_min=0.0, b_max=1.0, clip=False, channel_wise=not color
    )


def window_ends(window: Sequence[float]) -> tuple[float, float]:
    """Both ends of a window of intensities, low < high, or a ValueError that says what was found."""
    ends = list(window) if isinstance(window, Sequence) and not isinstance(window, str) else []
    numbers = [float(end) for end in ends if isinstance(end, Real) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not float("-inf") < numbers[0] < numbers[1] < float("inf"):
        raise ValueError(
            f"window must be two numbers, the lower one first, such as [-160, 240] in HU, found {window!r}"
        )
    return numbers[0], numbers[1]
