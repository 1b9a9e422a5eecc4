# SPDX-License-Identifier: Apache-2.0
"""Colour jitter: brightness, contrast, saturation and hue behind one chance."""

from __future__ import annotations

from .colour import Hue, Saturation
from .intensity import Contrast, IntensityScaling
from .intensity_range import Limits
from .operation import Operation
from .together import Together


def colour_jitter(
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.2,
    hue: float = 0.1,
    probability: float = 0.8,
    limits: Limits | None = (0.0, 1.0),
) -> list[Operation]:
    """The colour jitter of photographs as part of a policy's operations.

    Each of the four is torchvision's, and clips as torchvision does. It applies them in a random order, here they act
    in the order of the arguments. A magnitude of 0 leaves its operation out; with none left the list is empty.

    Args:
        brightness, contrast, saturation: b of a factor from U(1 - b, 1 + b); below 1 for the first two.
        hue: largest turn as a share of the colour circle.
        probability: chance of each sample to have all of them.
        limits: intensities are clipped to them after each step; None, for images that leave [0, 1], clips nothing.

    Returns:
        one ``Together`` group, or nothing.
    """
    operations: list[Operation] = []
    if brightness:
        operations.append(IntensityScaling(1 - brightness, 1 + brightness, limits=limits))
    if contrast:
        operations.append(Contrast(1 - contrast, 1 + contrast, mean="grey", limits=limits))
    if saturation:
        operations.append(Saturation(max(1 - saturation, 0.0), 1 + saturation, limits=limits))
    if hue:
        operations.append(Hue(hue))
    return [Together(operations, probability)] if operations else []
