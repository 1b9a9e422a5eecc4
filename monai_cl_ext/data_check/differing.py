# SPDX-License-Identifier: Apache-2.0
"""Volumes that differ from the rest: channels, orientation, spacing, size, intensities, placeholders for a position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from monai_cl_ext.data_check.facts import ERROR, WARNING, CaseFacts, Finding, ImageFacts, named

FEWEST = 4  # of fewer volumes none can be said to differ from the rest
TIMES, INTENSITY_TIMES = 3.0, 10.0  # off the median by more than this, up or down


def differing(facts: Sequence[CaseFacts]) -> list[Finding]:
    """A finding for each kind of difference, with the files; medians are over the volumes that could be read."""
    read = [(one.image, one.volume) for one in facts if one.volume is not None]
    if len(read) < 2:
        return []
    found = [_minority(read, "channels", ERROR, lambda volume: volume.channels, "write the same channels for all")]
    found.append(
        _minority(
            read,
            "headers",
            WARNING,
            lambda volume: "a spacing" if volume.placed else "none, and 1 mm stands for it",
            "write those volumes again with their spacing, or leave them out",
        )
    )
    if len(read) >= FEWEST:
        found.append(
            _minority(
                read,
                "axis order and directions",
                WARNING,
                lambda volume: volume.orientation,
                "bring all to one with monai.transforms.Orientation and save them, so that slice_axis means the same "
                "axis of the body in each",
            )
        )
        placed = [(file, volume) for file, volume in read if volume.placed]
        found.append(
            _off(placed, "spacing", "mm", TIMES, lambda volume: volume.spacing, "check their headers (units?)")
        )
        found.append(
            _off(read, "shape", "voxels", TIMES, lambda volume: volume.shape, "check that they show the same region")
        )
        found.append(
            _off(
                read,
                "intensities (0.5th to 99.5th percentile)",
                "wide",
                INTENSITY_TIMES,
                lambda volume: [max(channel.width for channel in volume.intensities)],
                "the bundles scale each volume by its own percentiles; without that, bring all to one scale",
            )
        )
    return [finding for finding in found if finding is not None]


def _minority(
    read: Sequence[tuple[str, ImageFacts]], what: str, level: str, value: Callable[[ImageFacts], Any], remedy: str
) -> Finding | None:
    """Volumes whose value is not the most common one."""
    values = [value(volume) for _, volume in read]
    (common, times), *others = Counter(values).most_common()
    if not others:
        return None
    files = [file for (file, _), each in zip(read, values, strict=True) if each != common]
    kinds = ", ".join(f"{count} have {each}" for each, count in others)
    return Finding(
        level, f"{named(files, len(read))}: {what} differ: {times} have {common}, {kinds}; {remedy}", tuple(files)
    )


def _off(
    read: Sequence[tuple[str, ImageFacts]],
    what: str,
    unit: str,
    times: float,
    value: Callable[[ImageFacts], Sequence[float]],
    remedy: str,
) -> Finding | None:
    """Volumes with a number that is more than so many times the median, or less than that part of it."""
    if len(read) < FEWEST:
        return None
    numbers = np.array([value(volume) for _, volume in read], dtype=float)  # (volumes, numbers)
    median = np.median(numbers, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = numbers / median
    off = ((ratio > times) | (ratio < 1 / times)).any(axis=1)
    if not off.any():
        return None
    files = [file for (file, _), differs in zip(read, off, strict=True) if differs]
    worst = int(np.argmax(np.abs(np.log(np.maximum(ratio, 1e-12))).max(axis=1)))
    message = (
        f"{named(files, len(read))}: {what} off the median by more than {times:g} times, {_joined(median)} {unit}; the "
        f"farthest is {read[worst][0]}, {_joined(numbers[worst])} {unit}; {remedy}"
    )
    return Finding(WARNING, message, tuple(files))


def _joined(numbers: np.ndarray) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
