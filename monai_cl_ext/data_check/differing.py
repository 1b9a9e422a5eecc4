# SPDX-License-Identifier: Apache-2.0
"""Volumes that differ from the rest: channels, orientation, spacing, size, intensities, placeholders for a position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from monai_cl_ext.data.orientation import STRAIGHT
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
        found.append(_turned(read))
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
                "width of the intensities (0.5th to 99.5th percentile)",
                "",
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


def _turned(read: Sequence[tuple[str, ImageFacts]]) -> Finding | None:
    """Volumes whose axes are turned or mirrored against most others.

    Of oblique volumes, whose planes follow the anatomy, only a mirroring is told: their codes change with few degrees.
    """
    directions = np.array([volume.directions for _, volume in read])  # (volumes, 3, 3)
    hands = np.linalg.det(directions) > 0
    straight = (np.abs(directions).max(axis=1) > STRAIGHT).all(axis=1)
    codes = np.array([volume.orientation for _, volume in read])
    other = hands != (hands.mean() >= 0.5)
    if straight.mean() > 0.5:
        other |= straight & (codes != Counter(codes[straight].tolist()).most_common(1)[0][0])
    if not other.any():
        return None
    files = [file for (file, _), differs in zip(read, other, strict=True) if differs]
    rest = Counter(codes[~other].tolist()).most_common(1)[0][0]
    found = " and ".join(dict.fromkeys(codes[other].tolist()))
    message = (
        f"{named(files, len(read))}: axes run in other directions, {found} where most have {rest}; bring all to one by "
        "monai.transforms.Orientation and save them, so that slice_axis means the same axis of the body in each"
    )
    return Finding(WARNING, message, tuple(files))


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
    middle, farthest = (f"{_joined(each)} {unit}".strip() for each in (median, numbers[worst]))
    message = (
        f"{named(files, len(read))}: {what} off the median, {middle}, by more than {times:g} times; the farthest is "
        f"{read[worst][0]}, {farthest}; {remedy}"
    )
    return Finding(WARNING, message, tuple(files))


def _joined(numbers: np.ndarray) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
