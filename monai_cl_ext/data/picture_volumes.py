# SPDX-License-Identifier: Apache-2.0
"""Reads a picture, or a folder of pictures, as a volume."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from monai.data import MetaTensor

from monai_cl_ext.data.dicom import holds_dicom
from monai_cl_ext.data.file_names import PICTURES, VOLUMES, files_in
from monai_cl_ext.data.picture_files import UPRIGHT, converted, is_deep, open_picture, orientation_of
from monai_cl_ext.data.volume_meta import as_volume

if TYPE_CHECKING:
    from PIL.Image import Image

Convert: TypeAlias = "Callable[[Image, Path], np.ndarray]"
LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WebP"}
EQUAL = "write its class numbers as gray or with a palette, in PNG"


def pictures_of(path: Any) -> list[Path]:
    """The pictures that make a volume; none where the path is no picture and no folder of pictures alone."""
    if not isinstance(path, (str, Path)):
        return []
    path = Path(path).expanduser()
    if path.is_dir() and not path.name.lower().endswith(VOLUMES):
        return [] if holds_dicom(path) else files_in(path, PICTURES)
    return [path] if path.name.lower().endswith(PICTURES) else []


def read_pictures(pictures: list[Path], path: Any, convert: Convert) -> MetaTensor:
    """Pictures as the slices of a volume (C, W, H, slices)."""
    slices = [np.asarray(convert(open_picture(picture), picture), np.float32).swapaxes(0, 1) for picture in pictures]
    for picture, found in zip(pictures, slices, strict=True):
        if found.shape != slices[0].shape:
            raise ValueError(
                f"{picture}: a slice of {found.shape[:2]} pixels, but {pictures[0]} has {slices[0].shape[:2]}; "
                "give a folder the pictures of one volume"
            )
    stack = torch.as_tensor(np.stack(slices, axis=2))
    return as_volume(stack[None] if stack.ndim == 3 else stack.movedim(-1, 0), path, torch.eye(4))


def color_of(picture: Image, file: Path) -> np.ndarray:
    """Red, green and blue; three equal ones of a deep picture, which keeps its numbers."""
    return np.stack([np.asarray(picture)] * 3, -1) if is_deep(picture) else np.asarray(converted(picture, "RGB", file))


def gray_of(picture: Image, file: Path) -> np.ndarray:
    """The picture with one channel; deep ones keep their numbers."""
    return np.asarray(picture if is_deep(picture) or picture.mode == "1" else converted(picture, "L", file))


def numbers_of(picture: Image, file: Path) -> np.ndarray:
    """The numbers of a mask: gray values, or places in its palette.

    Raises:
        ValueError: when it has colors, or pixels that are not opaque; the message names the file.
    """
    bands = picture.getbands()
    if bands[-1] in ("A", "a"):
        if picture.getchannel(len(bands) - 1).getextrema() != (255, 255):
            raise ValueError(f"{file}: a mask with transparent pixels; {EQUAL}")
        bands = bands[:-1]
    values = np.asarray(picture)
    if len(bands) == 1:
        return values if values.ndim == 2 else values[..., 0]
    values = values[..., :3]
    if bands[:3] != ("R", "G", "B") or (values != values[..., :1]).any():
        raise ValueError(f"{file}: a mask with colors; {EQUAL}")
    return values[..., 0]


def exact_numbers_of(picture: Image, file: Path) -> np.ndarray:
    """As :func:`numbers_of`, of a mask whose values nothing checks: a format that changes them is warned of."""
    if picture.format in LOSSY:
        warnings.warn(
            f"{file}: a mask in {LOSSY[picture.format]}, which may change values at edges; keep masks in PNG, or name "
            "the values with label_values",
            stacklevel=2,
        )
    return numbers_of(picture, file)


def warn_of_orientation(image: Any, masks: list[Path]) -> None:
    """One warning where the picture of an image is turned by its EXIF orientation and its mask has none."""
    for picture, mask in zip(pictures_of(image), masks, strict=False):
        turned = orientation_of(picture)
        if turned != UPRIGHT and orientation_of(mask) == UPRIGHT:
            warnings.warn(
                f"{mask}: has no EXIF orientation, but its image {picture} has {turned} and is turned upright; look "
                "whether the mask fits the upright image, and save both upright",
                stacklevel=2,
            )
            return
