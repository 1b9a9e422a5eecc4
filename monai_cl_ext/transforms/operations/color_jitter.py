# SPDX-License-Identifier: Apache-2.0
"""Color jitter: brightness, contrast, saturation and hue with one probability."""

from __future__ import annotations

from .color import Hue, Saturation
from .intensity import Contrast, IntensityScaling
from .intensity_range import Limits
from .operation import Operation
from .operation_group import OperationGroup


def color_jitter(
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.2,
    hue: float = 0.1,
    probability: float = 0.8,
    limits: Limits | None = (0.0, 1.0),
    mean: str = "gray",
) -> list[Operation]:
    """Torchvision's color jitter as a part of a policy's operations.

    Each of the four is torchvision's, and clips as torchvision does; they act in the order of the arguments. A
    magnitude of 0 leaves its operation out; with none left the list is empty.

    Args:
        brightness, contrast, saturation: b of a factor from U(1 - b, 1 + b); below 1 for the first two.
        hue: largest shift as a fraction of the color circle.
        probability: chance of each sample to have all of them.
        limits: intensities are clipped to them after each step; None, for images that leave [0, 1], clips nothing.
        mean: of contrast, as in ``Contrast``: "gray" for photographs, "channel" for channels that are no colors.

    Returns:
        one ``OperationGroup``, or nothing.
    """
    operations: list[Operation] = []
    if brightness:
        operations.append(IntensityScaling(1 - brightness, 1 + brightness, limits=limits))
    if contrast:
        operations.append(Contrast(1 - contrast, 1 + contrast, mean=mean, limits=limits))
    if saturation:
        operations.append(Saturation(max(1 - saturation, 0.0), 1 + saturation, limits=limits))
    if hue:
        operations.append(Hue(hue))
    return [OperationGroup(operations, probability)] if operations else []
