# SPDX-License-Identifier: Apache-2.0
"""The slices that DICOM files hold, one a file or many frames in one, and whether they belong to one series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.utils import optional_import

ONE_SERIES = "give each series a folder of its own"
GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
)
OF_SLICES = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
)
OF_FILES = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "InstanceNumber",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PresentationLUTShape",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)
SHARED = ("SeriesInstanceUID", "StudyInstanceUID", "PatientID", "FrameOfReferenceUID", "Modality")

Dataset, _ = optional_import("pydicom", name="Dataset")


class Slice(NamedTuple):
    """What a file says of one slice.

    Attributes:
        name: of the file, and of the frame where it holds several.
        header: the elements in OF_SLICES that hold for this slice.
        size: rows and columns.
        spacing: mm between rows and between columns, in this order, as DICOM has it; or None.
        orientation: unit vectors along a row and down a column, (6,) in LPS; or None.
        position: of the first pixel, (3,) in mm in LPS; or None.
        number: InstanceNumber, or None.
        step: mm from slice to slice by SpacingBetweenSlices or else SliceThickness, or None.
    """

    name: str
    header: Any
    size: tuple[int, int]
    spacing: np.ndarray | None
    orientation: np.ndarray | None
    position: np.ndarray | None
    number: int | None
    step: float | None


def check_elements(dataset: Any, path: Path) -> None:
    """Refuses elements whose values are not of their kind, which pydicom finds as they are asked for."""
    for tag in (*OF_FILES, *OF_SLICES, *SHARED):
        try:
            value = dataset.get(tag)
        except Exception as error:  # pydicom has several
            raise ValueError(
                f"{path}: its {tag} cannot be read ({type(error).__name__}: {error}); correct the header, or leave the "
                "series out"
            ) from error
        if tag in OF_FILES and not tag.endswith("Sequence") and tag in dataset and dataset[tag].VM > 1:
            raise ValueError(f"{path}: expected one {tag}, found {value}; correct the header, or leave the series out")


def slices_of(path: Path, dataset: Any) -> list[Slice]:
    """The slices of a file in the order of its frames.

    Raises:
        ValueError: when frames have no place of their own, or an element holds no such numbers as it should.
    """
    frames = int(_element(dataset, "NumberOfFrames", path) or 1)
    places = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if (frames > 1 or places) and len(places) != frames:
        raise ValueError(
            f"{path}: {frames} frames, but places for {len(places)}, as of a film; give single slices, enhanced DICOM "
            "with a position of each frame, or a NIfTI file"
        )
    number = _element(dataset, "InstanceNumber", path) if frames == 1 else None
    size = (int(dataset.Rows), int(dataset.Columns))
    slices = []
    for frame in range(frames):
        name = path.name if frames == 1 else f"{path.name} frame {frame + 1}"
        try:
            header = _header(dataset, places[frame] if places else None)
            orientation = _numbers(header, "ImageOrientationPatient", 6)
            found = Slice(
                name,
                header,
                size,
                _spacing(header),
                None if orientation is None else _unit_vectors(orientation),
                _numbers(header, "ImagePositionPatient", 3),
                None if number is None else int(number),
                _step(header),
            )
        except Exception as error:
            raise ValueError(f"{path.parent / name}: {error}; correct the header, or leave the series out") from error
        slices.append(found)
    return slices


def refuse_mixture(files: Sequence[tuple[Path, Any]], slices: Sequence[Slice], folder: Path) -> None:
    """Refuses files of several series or patients, and slices of several sizes, spacings or orientations."""
    for tag in SHARED:
        first: dict[str, Path] = {}
        for path, dataset in files:
            if dataset.get(tag):
                first.setdefault(str(dataset.get(tag)), path)
        if len(first) > 1:
            one, other = list(first.values())[:2]  # names of files alone: the values may tell who a patient is
            raise ValueError(
                f"{folder}: {one.name} and {other.name} differ in {tag}, expected one of {len(first)} in all files; "
                f"{ONE_SERIES}"
            )
    for name, tolerance in (("size", 0.0), ("spacing", 1e-3), ("orientation", 1e-3)):  # relative; of unit vectors
        reference = getattr(slices[0], name)
        for item in slices:
            value = getattr(item, name)
            if not _alike(value, reference, tolerance):
                raise ValueError(
                    f"{folder}: {item.name} has the {name} {_shown(value)}, but {slices[0].name} {_shown(reference)}, "
                    f"as of a localizer or another series; {ONE_SERIES}"
                )


def _alike(one: Any, other: Any, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(np.subtract(one, other)).max() <= tolerance * np.abs(other).max())


def _element(dataset: Any, tag: str, path: Path) -> float | None:
    try:
        numbers = _numbers(dataset, tag, 1)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; correct the header, or leave the series out") from error
    return None if numbers is None else float(numbers[0])


def _header(dataset: Any, groups: Any) -> Any:
    """The elements of one slice: those of its frame go before those of all frames, and these before the file's."""
    header = Dataset()
    header.file_meta = dataset.file_meta  # tells how a LUT is written
    sources = [dataset]
    for shared in (*(dataset.get("SharedFunctionalGroupsSequence") or [])[:1], *([] if groups is None else [groups])):
        sources += [shared.get(name)[0] for name in GROUPS if shared.get(name)]
    for source in sources:
        for tag in OF_SLICES:
            if tag in source:
                header.add(source[tag])
    return header


def _numbers(header: Any, tag: str, length: int) -> np.ndarray | None:
    """The numbers of an element; None where it is absent or empty."""
    value = header.get(tag)
    if value is None or value == "" or (not np.isscalar(value) and not len(value)):
        return None
    try:
        numbers = np.array(value, dtype=float).reshape(-1)
    except ValueError:
        numbers = np.full(length, np.nan)
    if len(numbers) != length or not np.isfinite(numbers).all():
        raise ValueError(f"expected {length} finite number(s) as {tag}, found {value}")
    return numbers


def _spacing(header: Any) -> np.ndarray | None:
    for tag in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        numbers = _numbers(header, tag, 2)
        if numbers is not None:
            if numbers.min() <= 0:
                raise ValueError(f"expected positive lengths as {tag}, found {numbers.tolist()}")
            return numbers
    return None


def _step(header: Any) -> float | None:
    for tag in ("SpacingBetweenSlices", "SliceThickness"):
        numbers = _numbers(header, tag, 1)
        if numbers is not None and numbers[0] != 0:
            return abs(float(numbers[0]))  # some writers give gaps a sign
    return None


def _unit_vectors(orientation: np.ndarray) -> np.ndarray:
    along, down = orientation[:3], orientation[3:]
    if not np.allclose([along @ along, down @ down, along @ down], [1, 1, 0], atol=0.02):
        raise ValueError(
            f"expected two unit vectors at right angles as ImageOrientationPatient, found {orientation.tolist()}"
        )
    return orientation


def _shown(value: Any) -> str:
    return "of no known value" if value is None else str(np.round(value, 4).tolist())
