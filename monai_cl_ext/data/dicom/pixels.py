# SPDX-License-Identifier: Apache-2.0
"""Decodes the pixels of DICOM images to gray values in which higher is brighter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monai_cl_ext.data.dicom.versions import can_decode, pixels_of, with_modality_lut

NEEDED = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated")
NEEDED_OF_INTEGERS = ("BitsStored", "PixelRepresentation")
FLOATS = ("FloatPixelData", "DoubleFloatPixelData")
QUANTITIES = ("CT", "PT")  # modalities whose numbers are attenuation or activity, however they are shown


def check_image(dataset: Any, path: Path) -> None:
    """Refuses what is no gray image.

    Raises:
        ValueError: for a segmentation, a dose, a mosaic or colors, and for elements or pixels that are missing.
    """
    if "SegmentSequence" in dataset or dataset.get("Modality") in ("SEG", "RTDOSE"):
        raise ValueError(
            f"{path}: expected an image, found a DICOM {dataset.get('Modality', 'SEG')} object; give the series that "
            "it belongs to, and convert it to NIfTI where it is the label"
        )
    real = [tag for tag in FLOATS if tag in dataset]
    missing = [tag for tag in NEEDED + (() if real else NEEDED_OF_INTEGERS) if dataset.get(tag) in (None, "")]
    if not real and "PixelData" not in dataset:
        missing.append("PixelData")
    if missing:
        raise ValueError(
            f"{path}: expected a DICOM image, found none of {', '.join(missing)}; the file is cut off or damaged: copy "
            "or download it again, or leave the series out"
        )
    if "MOSAIC" in (dataset.get("ImageType") or []):
        raise ValueError(
            f"{path}: a mosaic, whose one picture shows all slices side by side; convert the series with dcm2niix, and "
            "give it as NIfTI"
        )
    photometric = dataset.PhotometricInterpretation
    if dataset.SamplesPerPixel != 1 or not photometric.startswith("MONOCHROME"):
        raise ValueError(
            f"{path}: expected gray pixels, MONOCHROME1 or MONOCHROME2, found {photometric} with "
            f"{dataset.SamplesPerPixel} sample(s) a pixel; convert colors to gray or to pictures, or leave the file out"
        )
    if not real and dataset.get("HighBit", dataset.BitsStored - 1) != dataset.BitsStored - 1:
        raise ValueError(
            f"{path}: expected HighBit {dataset.BitsStored - 1} for {dataset.BitsStored} bits stored, found "
            f"{dataset.HighBit}; correct the header, or write the file again"
        )


def stored_pixels(dataset: Any, path: Path) -> np.ndarray:
    """The numbers of a file as they are stored, (frames, rows, columns), without bits that belong to overlays.

    Raises:
        ValueError: when they are compressed in a way that nothing here decodes, cut off or damaged.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    more = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
    try:
        decodes = can_decode(syntax)
    except NotImplementedError as error:
        raise ValueError(
            f"{path}: its pixels are written as {syntax.name}, which pydicom does not decode; convert the series, with "
            "dcmconv or dcm2niix for one"
        ) from error
    if not decodes:
        raise ValueError(f"{path}: its pixels are compressed as {syntax.name}, found no decoder for it; {more}")
    try:
        pixels = pixels_of(dataset)
    except Exception as error:  # each decoder has its own
        hint = f", or try another decoder: {more}" if syntax.is_compressed else ""
        reason = f"{syntax.name}; {type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(
            f"{path}: its pixels cannot be decoded ({reason}); copy or download the file again{hint}"
        ) from error
    return pixels.reshape(-1, *pixels.shape[-2:])


def rescaled(pixels: np.ndarray, header: Any, name: str) -> np.ndarray:
    """Pixels (rows, columns) as float32, by the modality LUT or the slope and intercept of their own slice.

    Raises:
        ValueError: when the LUT or the numbers are not usable.
    """
    numbers = [header.get(tag) for tag in ("RescaleSlope", "RescaleIntercept")]
    wrong = None
    if not header.get("ModalityLUTSequence") and numbers != [None, None]:
        usable = None not in numbers and np.isfinite(np.array(numbers, dtype=float)).all() and numbers[0] != 0
        if not usable:
            wrong = f"RescaleSlope {numbers[0]} and RescaleIntercept {numbers[1]}"
    if wrong is None:
        try:
            wide = pixels.astype(np.int64) if pixels.dtype.kind in "iu" else pixels  # pydicom subtracts in this type
            return with_modality_lut(wide, header).astype(np.float32)
        except Exception as error:
            wrong = f"a modality LUT that cannot be applied ({type(error).__name__}: {error})"
    raise ValueError(f"{name}: expected finite numbers for both or a whole LUT, found {wrong}; correct the header")


def padding_of(pixels: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Where a pixel was not measured, by PixelPaddingValue and PixelPaddingRangeLimit; None where the file has none."""
    value = dataset.get("PixelPaddingValue")
    if value is None or pixels.dtype.kind == "f":
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    # Some writers store the value of signed pixels as unsigned.
    first, last = np.sort(np.array([value, value if limit is None else limit]).astype(pixels.dtype))
    return (pixels >= first) & (pixels <= last)


def shown_dark(dataset: Any, path: Path) -> bool:
    """Whether high numbers of a file are to be shown dark: as MONOCHROME1 says, or as the presentation LUT does.

    Raises:
        ValueError: when there is a presentation LUT of another kind than IDENTITY and INVERSE.
    """
    shape = str(dataset.get("PresentationLUTShape") or "IDENTITY").strip().upper()
    if "PresentationLUTSequence" in dataset or shape not in ("IDENTITY", "INVERSE"):
        found = "a PresentationLUTSequence" if "PresentationLUTSequence" in dataset else f"PresentationLUTShape {shape}"
        raise ValueError(
            f"{path}: expected PresentationLUTShape IDENTITY or INVERSE, found {found}, which makes numbers for a "
            "screen of them; export the series without it"
        )
    return dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE"


def is_quantity(header: Any, modality: str | None) -> bool:
    """Whether rescaled numbers are Hounsfield units or an activity, whatever the file says of showing them."""
    kind = str(header.get("RescaleType") or "").upper()
    return kind == "HU" or (not kind and modality in QUANTITIES and "RescaleSlope" in header)


def brightened(values: np.ndarray, padding: np.ndarray | None, dark: bool) -> np.ndarray:
    """Values of a volume in which higher is brighter, and padding that lies outside of their range the darkest.

    They are turned over as pydicom does for INVERSE, the highest of the volume minus each, so that all slices keep one
    scale.
    """
    if padding is not None and padding.any() and not padding.all():
        measured = values[~padding]
        values = np.where(padding & (values > measured.max()), measured.max() if dark else measured.min(), values)
        values = np.where(padding & (values < measured.min()), measured.max() if dark else measured.min(), values)
    return values.max() - values if dark else values
