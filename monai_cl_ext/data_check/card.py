# SPDX-License-Identifier: Apache-2.0
"""The data card: numbers of all volumes of a data set, for JSON, for a terminal and for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_cl_ext.data_check.facts import CaseFacts, ImageFacts

Card = dict[str, Any]
WORTH_CROPPING = 0.9  # of a volume
SMALLEST_SHARE = 0.0005  # of a class cut away; less is shown as 0 %


def card_of(facts: Sequence[CaseFacts], names: Mapping[int, str], cut: Mapping[int, float]) -> Card:
    """What is in a data set, as values that JSON takes.

    Args:
        facts: of all cases; numbers are of those that could be read.
        names: of foreground classes.
        cut: see :class:`~monai_cl_ext.data_check.suggestion.Suggestion`.
    """
    volumes = [one.volume for one in facts if one.volume is not None]
    card: Card = {
        "patients": len({one.patient for one in facts}),
        "volumes": len(facts),
        "labeled_volumes": sum(one.label is not None for one in facts),
        "refused_volumes": sum(one.error is not None for one in facts),
    }
    if not volumes:
        return card
    placed = [volume for volume in volumes if volume.placed]
    shapes, nonzero = (np.array([getattr(one, name) for one in volumes]) for name in ("shape", "nonzero_shape"))
    card |= {
        "shape": _spread(shapes),
        "nonzero_shape": _spread(nonzero),
        "nonzero_share": float(np.median(nonzero.prod(axis=1) / shapes.prod(axis=1))),
        "spacing": _spread(np.array([volume.spacing for volume in placed])) if placed else None,
        "slices": shapes.sum(axis=0).tolist(),
        **{
            name: dict(Counter(str(getattr(volume, key)) for volume in volumes).most_common())
            for name, key in (("orientations", "orientation"), ("channels", "channels"), ("types", "dtype"))
        },
        "intensities": _intensities(volumes),
        "foreground_intensities": pooled_foreground(facts),
        "classes": _classes(facts, names, cut),
    }
    return card


def _spread(numbers: np.ndarray) -> dict[str, Any]:
    """Smallest, median and largest of each column."""
    return {
        "min": numbers.min(axis=0).tolist(),
        "median": np.median(numbers, axis=0).tolist(),
        "max": numbers.max(axis=0).tolist(),
    }


def _intensities(volumes: Sequence[ImageFacts]) -> list[dict[str, Any]]:
    """Of each channel that all volumes have: the spread over volumes of each number."""
    channels = min(volume.channels for volume in volumes)
    names = vars(volumes[0].intensities[0])
    return [
        {name: _spread(np.array([getattr(volume.intensities[channel], name) for volume in volumes])) for name in names}
        for channel in range(channels)
    ]


def pooled_foreground(facts: Sequence[CaseFacts]) -> list[dict[str, float]]:
    """Of the foreground of all volumes together, the same number of voxels from each, for each channel."""
    samples = [one.segmentation.sample for one in facts if one.segmentation is not None and one.segmentation.box]
    if not samples or len({len(sample) for sample in samples}) > 1:
        return []
    pooled = []
    for values in np.concatenate(samples, axis=1).astype(np.float64):
        low, median, high = np.percentile(values, (0.5, 50, 99.5)).tolist()
        pooled.append(
            {
                "mean": float(values.mean()),
                "median": median,
                "std": float(values.std()),
                "percentile_00_5": low,
                "percentile_99_5": high,
            }
        )
    return pooled


def _classes(facts: Sequence[CaseFacts], names: Mapping[int, str], cut: Mapping[int, float]) -> dict[str, Any]:
    """Of each foreground class: who has it, and how large it is where it is."""
    read = [(one, one.segmentation) for one in facts if one.segmentation is not None]
    numbers = sorted(
        {number for _, label in read for number in label.voxels if number} | (set(names) if read else set())
    )
    classes = {}
    for number in numbers:
        having = [(one, label) for one, label in read if number in label.voxels]
        milliliters = [label.milliliters[number] for _, label in having if label.milliliters is not None]
        classes[str(number)] = {
            "name": names.get(number, ""),
            "patients": len({one.patient for one, _ in having}),
            "volumes": len(having),
            "voxels": _spread(np.array([label.voxels[number] for _, label in having])) if having else None,
            "milliliters": _spread(np.array(milliliters)) if milliliters else None,
            "cut_away": cut.get(number, 0.0),
        }
    return classes


def card_rows(card: Card) -> list[list[str]]:
    """What a reader sees of the volumes: name, smallest, median, largest."""
    if "shape" not in card:
        return []
    rows = [_row("shape (voxels)", card["shape"]), _row("shape cropped to nonzero", card["nonzero_shape"])]
    if card["spacing"]:
        rows.append(_row("spacing (mm)", card["spacing"]))
    for number, channel in enumerate(card["intensities"], start=1):
        which = f" of channel {number}" if len(card["intensities"]) > 1 else ""
        for name, key in (
            ("0.5th percentile", "percentile_00_5"),
            ("mean", "mean"),
            ("99.5th percentile", "percentile_99_5"),
        ):
            rows.append(_row(f"{name}{which}", channel[key]))
    return rows


def card_sentences(card: Card) -> list[str]:
    """What a reader sees of the data set as a whole."""
    volumes = card["volumes"]
    refused = card["refused_volumes"]
    sentences = [
        f"{volumes} volumes of {card['patients']} patients, {card['labeled_volumes']} with a label; "
        + (f"{refused} refused." if refused else "all can be read.")
    ]
    if "shape" not in card:
        return sentences
    spacing = "" if card["spacing"] else " Spacing: not known."
    kinds = [
        f"{name}: {_counted(card[key])}" for name, key in (("Orientation", "orientations"), ("channels", "channels"))
    ]
    if set(card["types"]) != {""}:
        kinds.append(f"stored as {_counted(card['types'])}")
    slices = ", ".join(f"{number:,} along axis {axis}" for axis, number in enumerate(card["slices"]))
    sentences.append("; ".join(kinds) + f".{spacing} Slices: {slices}.")
    if card["nonzero_share"] < WORTH_CROPPING:
        sentences.append(f"Cropping to nonzero leaves {card['nonzero_share']:.0%} of the median volume.")
    for number, pooled in enumerate(card["foreground_intensities"], start=1):
        which = f" (channel {number})" if len(card["foreground_intensities"]) > 1 else ""
        sentences.append(
            f"Intensities of the foreground{which}: mean {pooled['mean']:.4g}, standard deviation {pooled['std']:.4g}, "
            f"median {pooled['median']:.4g}, 0.5th and 99.5th percentile {pooled['percentile_00_5']:.4g} and "
            f"{pooled['percentile_99_5']:.4g}."
        )
    return sentences


CLASS_HEAD = ["class", "name", "patients", "volumes", "voxels, median (range)", "ml, median (range)", "cut away"]


def class_rows(card: Card) -> list[list[str]]:
    """One row for each foreground class."""
    return [
        [
            number, one["name"], str(one["patients"]), str(one["volumes"]), _ranged(one["voxels"]),
            _ranged(one["milliliters"]), f"{one['cut_away']:.1%}" if one["cut_away"] >= SMALLEST_SHARE else "0 %",
        ]
        for number, one in card.get("classes", {}).items()
    ]  # fmt: skip


def _row(name: str, spread: Mapping[str, Any]) -> list[str]:
    return [name, *(_joined(spread[end]) for end in ("min", "median", "max"))]


def _joined(numbers: Any) -> str:
    return " x ".join(f"{number:.4g}" for number in np.atleast_1d(numbers))


def _ranged(spread: Mapping[str, float] | None) -> str:
    if not spread:
        return "–"
    return f"{_short(spread['median'])} ({_short(spread['min'])} to {_short(spread['max'])})"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _counted(counts: Mapping[str, int]) -> str:
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{count} x {kind}" for kind, count in counts.items())
