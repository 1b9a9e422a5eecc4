# SPDX-License-Identifier: Apache-2.0
"""What pydicom 2.4 does in other ways than pydicom 3."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.utils import optional_import

get_decoder, IS_THREE = optional_import("pydicom.pixels", name="get_decoder")
apply_modality_lut, _ = optional_import(
    "pydicom.pixels" if IS_THREE else "pydicom.pixel_data_handlers.util", name="apply_modality_lut"
)
config, _ = optional_import("pydicom.config")


def can_decode(syntax: Any) -> bool:
    """Whether a decoder of a transfer syntax is installed.

    Raises:
        NotImplementedError: when pydicom has no decoder for it.
    """
    if IS_THREE:
        return bool(get_decoder(syntax).is_available)
    decoders = [decoder for decoder in config.pixel_data_handlers if decoder.supports_transfer_syntax(syntax)]
    if not decoders:
        raise NotImplementedError(f"no decoder for {syntax.name}")
    return any(decoder.is_available() for decoder in decoders)


def pixels_of(dataset: Any) -> np.ndarray:
    """The pixels of a file, without bits above those that are stored."""
    pixels: np.ndarray = dataset.pixel_array
    if not IS_THREE and pixels.dtype.kind in "iu":
        above = 8 * pixels.dtype.itemsize - dataset.BitsStored
        return pixels << above >> above
    return pixels


def with_modality_lut(pixels: np.ndarray, header: Any) -> np.ndarray:
    """Pixels by the modality LUT of a header, or by its slope and intercept; its ``file_meta`` tells the byte order."""
    if not IS_THREE:
        header.is_little_endian = header.file_meta.TransferSyntaxUID.is_little_endian
    return np.asarray(apply_modality_lut(pixels, header))


def encoding_of(dataset: Any) -> tuple[bool, bool]:
    """Whether a file was written with implicit value representations, and in little endian."""
    if IS_THREE:
        implicit, little = dataset.original_encoding
        return implicit, little
    return dataset.read_implicit_vr, dataset.read_little_endian
