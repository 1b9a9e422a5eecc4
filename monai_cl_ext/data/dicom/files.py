# SPDX-License-Identifier: Apache-2.0
"""Finds the DICOM files of a folder by their content, and parses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from monai.utils import optional_import

from monai_cl_ext.data.dicom.versions import encoding_of
from monai_cl_ext.data.file_names import PICTURES, name_order
from monai_cl_ext.data.opening import open_file
from monai_cl_ext.extras import need

SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage, of a DICOMDIR

dcmread, _ = optional_import("pydicom", name="dcmread")


def is_dicom(path: str | Path) -> bool:
    """Whether a file begins as DICOM does; one without the preamble of 128 bytes begins with group 0002 or 0008."""
    start = _start(Path(path).expanduser())
    if start[128:132] == b"DICM":
        return True
    if start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    if re.match(rb"[A-Z]{2}", start[4:6]):  # the value representation, in files that name it
        return True
    element, length = int.from_bytes(start[2:4], "little"), int.from_bytes(start[4:8], "little")
    return start[:1] != b"\x00" and element <= 0x20 and 0 < length <= 256


def holds_dicom(folder: Path) -> bool:
    """Whether a file of the folder is DICOM, or called so; pictures are not looked into."""
    return any(path.name.lower().endswith(SUFFIXES) or is_dicom(path) for path in _candidates(folder))


def read_files(folder: Path) -> list[tuple[Path, Any]]:
    """The DICOM images of a folder, or the one that a file is, sorted by name, each with its pydicom data set.

    DICOMDIR, reports, presentation states, pictures, hidden files and files of other kinds are left out.

    Raises:
        ImportError: when pydicom is missing.
        ValueError: when there is none, one is damaged, or a file that is called like the others is no DICOM file.
    """
    found, others, without = [], [], []
    for path in [folder] if folder.is_file() else _candidates(folder):
        dataset = _parsed(path) if is_dicom(path) else None
        if dataset is None:
            others.append(path)
        elif _is_image(dataset):
            found.append((path, dataset))
        else:
            without.append(path.name)
    names = {_without_numbers(path) for path, _ in found}
    for path in others:
        if path.name.lower().endswith(SUFFIXES) or _without_numbers(path) in names:
            open_file(path).close()  # names a link to nowhere, an empty file and one that may not be read
            raise ValueError(
                f"{path}: called like a DICOM file, found other bytes; copy or download it again, or remove it"
            )
    if not found and without:
        raise ValueError(
            f"{folder}: expected DICOM images, found other DICOM files alone, such as {without[0]}; give the folder "
            "that holds the images of a series itself"
        )
    if not found:
        raise ValueError(
            f"{folder}: found no DICOM file and no picture; give the folder that holds the images of a series itself"
        )
    return found


def _candidates(folder: Path) -> list[Path]:
    # Names that start with a dot are leftovers of macOS archives.
    found = (path for path in folder.iterdir() if path.name[0] != "." and not path.is_dir())
    return sorted(
        (path for path in found if not path.name.lower().endswith(PICTURES)), key=lambda path: name_order(path.name)
    )


def _start(path: Path) -> bytes:
    """The first bytes of a regular file; none where they cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(132)
    except OSError:
        return b""


def _parsed(path: Path) -> Any:
    """The data set of a file; None where one without preamble is no DICOM after all."""
    need(str(path), "dicom", "pydicom")
    whole = _start(path)[128:132] == b"DICM"
    try:
        dataset = dcmread(path, force=True)
    except Exception as error:  # pydicom has several
        if whole:
            raise ValueError(
                f"{path}: cannot be read as DICOM ({type(error).__name__}: {error}); it is cut off or damaged: copy "
                "or download it again, or leave the series out"
            ) from error
        return None
    if not whole and "SOPClassUID" not in dataset and "Rows" not in dataset:
        return None
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = encoding_of(dataset)
        # Implicit and explicit VR Little Endian, and explicit VR Big Endian; what is compressed tells so.
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" + ("" if implicit else ".1" if little else ".2")
    return dataset


def _is_image(dataset: Any) -> bool:
    """Whether a data set has pixels, or should have."""
    if dataset.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
        return False
    if "Rows" in dataset or any(tag in dataset for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return True
    kind = dataset.get("SOPClassUID")
    if not kind or "SOPInstanceUID" not in dataset:  # cut off at its begin
        return True
    return "Image" in kind.name or (kind.name == kind and not kind.is_private)  # private ones are notes of a scanner


def _without_numbers(path: Path) -> str:
    return re.sub(r"\d+", "0", path.name.lower())
