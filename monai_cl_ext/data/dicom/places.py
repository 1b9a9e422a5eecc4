# SPDX-License-Identifier: Apache-2.0
"""Puts the slices of a DICOM series in the order of their places, and derives the affine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from monai.data.utils import orientation_ras_lps

from monai_cl_ext.data.dicom.slices import ONE_SERIES, Slice

SAME_PLACE = 1e-3  # mm
AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


def arranged(slices: Sequence[Slice], folder: Path) -> tuple[list[int], np.ndarray]:
    """The order of slices along the normal of their planes, and the affine (4, 4) of axes (column, row, slice) in RAS.

    The affine's third column is the step between neighboring positions: it follows a tilted gantry.

    Raises:
        ValueError: when slices share a place, some are missing, or they lie farther from even steps than the larger of
            1 % of a step and 0.05 mm (10 % of a step where that is less).
    """
    placed = [item.position is not None and item.orientation is not None for item in slices]
    if any(placed) and not all(placed):
        lacking = slices[placed.index(False)].name
        raise ValueError(
            f"{folder}: {lacking} lacks ImagePositionPatient or ImageOrientationPatient, which others have; "
            f"{ONE_SERIES}"
        )
    orientation = AXIAL if slices[0].orientation is None else slices[0].orientation
    normal = np.cross(orientation[:3], orientation[3:])
    if all(placed):
        order, origin, step = _by_position(slices, normal, folder)
    else:
        order, origin, step = _by_number(slices, folder), np.zeros(3), normal * (slices[0].step or 1.0)
        _warn_of_guess(slices, folder)
    spacing = slices[0].spacing
    if spacing is None:
        spacing = np.ones(2)
        warnings.warn(f"{folder}: its DICOM files lack PixelSpacing, so 1 mm is taken; {_NO_LENGTHS}", stacklevel=3)
    affine = np.eye(4)
    # DICOM names the spacing of rows first, which is the way down a column.
    affine[:3] = np.stack([orientation[:3] * spacing[1], orientation[3:] * spacing[0], step, origin], axis=1)
    return order, orientation_ras_lps(affine)


_NO_LENGTHS = "lengths and what is resampled by them are not to be trusted"


def _by_position(slices: Sequence[Slice], normal: np.ndarray, folder: Path) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The order, the first position, and the step to the next."""
    found = np.array([item.position for item in slices])
    order = np.argsort(found @ normal, kind="stable").tolist()
    positions, names = found[order], [slices[place].name for place in order]
    if len(order) == 1:
        return order, positions[0], normal * (slices[0].step or 1.0)
    gaps = np.diff(positions @ normal)
    repeated = np.flatnonzero(gaps <= SAME_PLACE)
    if len(repeated):
        place = int(repeated[0])
        raise ValueError(
            f"{folder}: {names[place]} and {names[place + 1]} lie at one place, found {len(repeated)} such pair(s) "
            f"among {len(order)} slices, as copies, time points, echoes and localizers make; {ONE_SERIES}"
        )
    step = (positions[-1] - positions[0]) / (len(order) - 1)
    usual = _usual(gaps)
    tolerance = max(0.01 * usual, min(0.05, 0.1 * usual))
    beside = np.linalg.norm(positions - positions[0] - np.arange(len(order))[:, None] * step, axis=1)
    if beside.max() > tolerance * (1 + 1e-6):
        raise _uneven(gaps, beside, names, tolerance, folder)
    return order, positions[0], step


def _usual(gaps: np.ndarray) -> float:
    """The median, of an even number the lower one: missing slices make gaps wider, never narrower."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2])


def _uneven(gaps: np.ndarray, beside: np.ndarray, names: list[str], tolerance: float, folder: Path) -> ValueError:
    usual = _usual(gaps)
    place = int(np.abs(gaps - usual).argmax())
    if abs(gaps[place] - usual) > tolerance:
        missing = round(gaps[place] / usual) - 1
        found = f"{gaps[place]:g} mm between {names[place]} and {names[place + 1]}, expected {usual:g} mm as elsewhere"
        found += f" (as if {missing} slice(s) were missing)" if missing > 0 else ""
    else:
        place = int(beside.argmax())
        found = f"{names[place]} lies {beside[place]:g} mm beside even steps from {names[0]} to {names[-1]}"
    return ValueError(
        f"{folder}: its slices are not evenly spaced: {found}, tolerance {tolerance:.3g} mm; restore missing files, "
        f"{ONE_SERIES}, or resample the series to even steps and give it as NIfTI"
    )


def _by_number(slices: Sequence[Slice], folder: Path) -> list[int]:
    if len(slices) == 1:
        return [0]
    numbers = [item.number for item in slices]
    if None in numbers:
        raise ValueError(
            f"{folder}: {slices[numbers.index(None)].name} lacks ImagePositionPatient and InstanceNumber, so its place "
            "is not known; add or remove it"
        )
    order = sorted(range(len(slices)), key=lambda place: numbers[place] or 0)
    for one, other in zip(order, order[1:], strict=False):
        gap = (numbers[other] or 0) - (numbers[one] or 0)
        if gap != 1:
            found = "twice" if not gap else f"and next {numbers[other]}"
            raise ValueError(
                f"{folder}: its slices, by InstanceNumber, are not consecutive: {slices[one].name} has {numbers[one]} "
                f"{found} in {slices[other].name}; restore missing files, or {ONE_SERIES}"
            )
    return order


def _warn_of_guess(slices: Sequence[Slice], folder: Path) -> None:
    step = slices[0].step
    known = "no file names it" if step is None else "SpacingBetweenSlices or SliceThickness names it"
    warnings.warn(
        f"{folder}: its DICOM files lack ImagePositionPatient or ImageOrientationPatient, so slices are taken in the "
        f"order of InstanceNumber, {step or 1.0:g} mm apart as {known}; {_NO_LENGTHS}, nor are left and right",
        stacklevel=4,
    )
