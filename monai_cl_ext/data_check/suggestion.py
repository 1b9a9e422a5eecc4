# SPDX-License-Identifier: Apache-2.0
"""Settings to start from, each with its reason."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from monai_cl_ext.data.patch_places import MULTIPLE, with_room
from monai_cl_ext.data.preprocessing import volume_transform
from monai_cl_ext.data.volume import read_volume
from monai_cl_ext.data_check.card import pooled_foreground
from monai_cl_ext.data_check.facts import CaseFacts, ImageFacts
from monai_cl_ext.data_check.looking import look_at_all
from monai_cl_ext.data_check.stored import stored_bytes, superpixel_bytes

LARGEST = 512  # pixels; more would not fit a batch on most cards
ALIKE = 1.1  # spacings that differ less count as equal
FLAT = 0.5  # an axis so much shorter than the other two counts slices, where the spacing is not known
PATCH_VOXELS = 128**3
AIR = -900  # HU: nothing but CT has it, and every CT that shows air
SOFT_TISSUE, STEP = (-160.0, 240.0), 10.0  # HU


@dataclass(frozen=True)
class Patch:
    """The settings of 3D patches, with the overlay volumes.

    Attributes:
        image_size: in voxels.
        pixdim: spacing in mm; None where it is not known and nothing needs to be resampled.
    """

    image_size: list[int]
    pixdim: list[float] | None

    def __str__(self) -> str:
        """As they are written in a bundle's config."""
        return f"image_size {json.dumps(self.image_size)}, pixdim {json.dumps(self.pixdim)}"


@dataclass
class Suggestion:
    """Settings by config id, why each, and what the crop costs.

    Attributes:
        settings: slice_axis, pixdim, image_size and, where there are labels, num_classes; of several channels
            in_channels; of CT window.
        reasons: of each, in a sentence.
        patch: of 3D, within the median volume; None where every volume is one slice, and so is ``half_patch``.
        half_patch: of 3D, at most half of the shortest volume along each axis, for methods that compare places.
        stored_bytes: what the prepared slices of all volumes take on disk.
        stored_volume_bytes: what whole volumes take in 3D, at the spacing of their files.
        superpixel_bytes, supervoxel_bytes: what SuperCL adds to the two.
        cut: the share of each class that cropping to ``image_size`` cuts away.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    cut: dict[int, float] = field(default_factory=dict)
    stored_bytes: int = 0
    stored_volume_bytes: int = 0
    superpixel_bytes: int = 0
    supervoxel_bytes: int = 0
    patch: Patch | None = None
    half_patch: Patch | None = None

    def add(self, name: str, value: Any, reason: str) -> None:
        """One more setting."""
        self.settings[name], self.reasons[name] = value, reason


def suggest(
    facts: Sequence[CaseFacts], classes: tuple[int, str] | None, slice_axis: int | None, workers: int | None = None
) -> Suggestion:
    """Settings for the volumes that could be read.

    Args:
        facts: with at least one volume.
        classes: their number, background included, and where it comes from; None without labels.
        slice_axis: when it is given.
        workers: of reading the labels again that ``image_size`` does not hold.
    """
    volumes = [one.volume for one in facts if one.volume is not None]
    shapes = np.array([volume.shape for volume in volumes], dtype=float)
    placed = np.array([volume.placed for volume in volumes])
    spacings = np.array([volume.spacing for volume in volumes])
    known = bool(placed.all())
    spacing = np.median(spacings, axis=0)
    found = Suggestion()
    if classes:
        found.add("num_classes", *classes)
    _add_channels(facts, volumes, found)
    axis, reason = (slice_axis, "as it was given") if slice_axis is not None else _slice_axis(shapes, spacing, known)
    found.add("slice_axis", axis, reason)
    beside = [other for other in range(3) if other != axis]
    if known:
        found.add(
            "pixdim", _pixdim(spacing[beside]), "mm in the plane, the median of the volumes; they are resampled to it"
        )
    else:
        some = "no header tells a spacing" if not placed.any() else f"{(~placed).sum()} headers tell no spacing"
        found.add("pixdim", None, f"{some}, so nothing is resampled")
    scales = spacings[:, beside] / np.array(found.settings["pixdim"]) if known else np.ones((len(volumes), 2))
    found.add("image_size", *_image_size(facts, shapes[:, beside], scales, beside))
    if (shapes[:, axis] > 1).any():
        pixdim = np.insert(found.settings["pixdim"], axis, spacing[axis]) if known else spacing
        lengths = shapes * spacings / pixdim
        found.patch = Patch(_patch_size(np.median(lengths, axis=0), pixdim), _rounded(pixdim) if known else None)
        found.half_patch = _half_patch(found.patch, lengths.min(axis=0), pixdim)
    cropped = _not_held(facts, found, scales, beside)
    found.cut = _cut(cropped, facts, found, workers)
    found.stored_bytes, found.stored_volume_bytes = stored_bytes(facts, found.settings), stored_bytes(facts)
    found.superpixel_bytes, found.supervoxel_bytes = superpixel_bytes(facts, found.settings), superpixel_bytes(facts)
    return found


def _add_channels(facts: Sequence[CaseFacts], volumes: Sequence[ImageFacts], found: Suggestion) -> None:
    """The number of channels where there are several, and the window of what looks like CT."""
    channels = max(volume.channels for volume in volumes)
    if channels > 1:
        found.add("in_channels", channels, "the volumes have as many")
    lowest = [min(channel.minimum for channel in volume.intensities) for volume in volumes]
    if np.median(lowest) > AIR:
        return
    seen = f"CT by the smallest intensity, {np.median(lowest):.4g} in the median volume"
    foreground = pooled_foreground(facts)
    ends = [channel[name] for channel in foreground for name in ("percentile_00_5", "percentile_99_5")]
    low, high = (STEP * np.floor(min(ends) / STEP), STEP * np.ceil(max(ends) / STEP)) if ends else SOFT_TISSUE
    if low < high and ends:
        reason = f"{seen}; in HU, from the 0.5th to the 99.5th percentile of what is labeled"
    else:
        low, high = SOFT_TISSUE
        reason = f"{seen}; in HU, of soft tissue, since no label tells more"
    found.add("window", [float(low), float(high)], f"{reason}; it becomes 0 to 1")


def _slice_axis(shapes: np.ndarray, spacing: np.ndarray, known: bool) -> tuple[int, str]:
    shape = np.median(shapes, axis=0)
    order = np.argsort(spacing)
    if known and spacing[order[2]] > ALIKE * spacing[order[1]]:
        return int(
            order[2]
        ), f"the axis of the largest spacing, {spacing[order[2]]:.3g} mm against {spacing[order[1]]:.3g} mm"
    shortest = int(np.argmin(shape))
    alike = "the spacing is alike along all axes" if known else "the spacing is not known"
    if shape[shortest] < FLAT * np.delete(shape, shortest).min():
        return shortest, f"{alike}; this axis has by far the fewest voxels, {shape[shortest]:g} in the median volume"
    return 2, f"{alike}, so any axis may count the slices; 2 is the default, and 0 or 1 serve where they show more"


def _pixdim(pair: np.ndarray) -> list[float]:
    low, high = sorted(pair.tolist())
    steps = [float(np.mean(pair))] * 2 if high < ALIKE * low else pair.tolist()
    return [float(f"{step:.6g}") for step in steps]


def _image_size(
    facts: Sequence[CaseFacts], sizes: np.ndarray, scales: np.ndarray, beside: list[int]
) -> tuple[list[int], str]:
    """The side of a square that holds all foreground around the middle, or else the median image."""
    read = [one for one in facts if one.volume is not None]
    needs = [_needed(one, scale, beside) for one, scale in zip(read, scales, strict=True)]
    largest = int(np.ceil((sizes * scales).max()))
    boxes = [need for need in needs if need is not None]
    needed = max(boxes) if boxes else int(np.ceil(np.median((sizes * scales).max(axis=1))))
    side = _rounded_up(needed)
    held = (
        "holds the labels of all volumes around the middle"
        if boxes
        else "holds the median image, since no label tells more"
    )
    reason = f"{held} ({needed} pixels), as a multiple of {MULTIPLE}; the largest image has {largest}"
    if side > LARGEST:
        return [
            LARGEST
        ] * 2, f"bounded at {LARGEST}, though {needed} pixels would be needed; a larger pixdim shows more"
    return [side] * 2, reason


def _needed(one: CaseFacts, scale: np.ndarray, beside: list[int]) -> int | None:
    """Pixels of a centered square that holds the foreground of a case."""
    if one.volume is None or one.segmentation is None or not one.segmentation.box:
        return None
    needed = 0.0
    for axis, factor in zip(beside, scale, strict=True):
        first, end = one.segmentation.box[axis]
        middle = one.volume.shape[axis] / 2
        needed = max(needed, 2 * max(middle - first, end - middle) * factor)
    return int(np.ceil(needed)) + 1  # MONAI's middle of an even length lies half a pixel off


def _rounded_up(length: float) -> int:
    return max(int(np.ceil(length / MULTIPLE)), 1) * MULTIPLE


def _patch_size(shape: np.ndarray, spacing: np.ndarray) -> list[int]:
    """The largest box of about the same extent in mm along each axis, within the median volume and the budget."""
    side = (PATCH_VOXELS * np.prod(spacing)) ** (1 / 3)  # mm
    size = np.minimum(side / spacing, shape)
    for _ in range(3):  # what short axes leave goes to the long ones
        free = size < shape
        if free.any():
            size[free] *= (PATCH_VOXELS / np.prod(size)) ** (1 / free.sum())
            size = np.minimum(size, shape)
    return [_rounded_up(length) if length < MULTIPLE else int(length // MULTIPLE) * MULTIPLE for length in size]


def _half_patch(patch: Patch, shortest: np.ndarray, pixdim: np.ndarray) -> Patch:
    """The patch where it is at most half of the shortest volume; along other axes a shorter one, or a finer spacing."""
    sides = [with_room(int(length), float(step)) for length, step in zip(shortest, pixdim, strict=True)]
    size = [min(side, given) for (side, _), given in zip(sides, patch.image_size, strict=True)]
    steps = [step for _, step in sides]
    return Patch(size, patch.pixdim if steps == pixdim.tolist() else _rounded(steps))


def _rounded(steps: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{step:.4g}") for step in steps]


def _not_held(facts: Sequence[CaseFacts], found: Suggestion, scales: np.ndarray, beside: list[int]) -> list[CaseFacts]:
    read = [one for one in facts if one.volume is not None]
    needs = [_needed(one, scale, beside) for one, scale in zip(read, scales, strict=True)]
    side = min(found.settings["image_size"])
    return [one for one, need in zip(read, needs, strict=True) if need is not None and need > side]


def _cut(
    cropped: Sequence[CaseFacts], facts: Sequence[CaseFacts], found: Suggestion, workers: int | None
) -> dict[int, float]:
    """The share of each class that is cut away; only labels that reach out are read again."""
    prepare = volume_transform(
        image_size=found.settings["image_size"],
        pixdim=found.settings["pixdim"],
        slice_axis=found.settings["slice_axis"],
    )
    cases = [{"image": one.image, "label": one.label, "patient": one.patient} for one in cropped]
    look = partial(cut_of, prepare=prepare, slice_axis=found.settings["slice_axis"])
    lost: dict[int, int] = {}
    for counts in look_at_all(cases, look, workers):
        for number, (cut, _) in counts.items():
            lost[number] = lost.get(number, 0) + cut
    totals: dict[int, int] = {}
    for one in facts:
        for number, voxels in one.segmentation.voxels.items() if one.segmentation else ():
            totals[number] = totals.get(number, 0) + voxels
    return {number: lost.get(number, 0) / total for number, total in sorted(totals.items()) if number}


def cut_of(case: dict[str, Any], prepare: Any, slice_axis: int) -> Any:
    """What preparing a case as a training does cuts away of its label."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told already when the case was examined
        return read_volume(case, prepare, slice_axis).cut
