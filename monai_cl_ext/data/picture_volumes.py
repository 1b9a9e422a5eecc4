# SPDX-License-Identifier: Apache-2.0
"""Reads a picture, or a folder of pictures, as a volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, PILReader
from monai.utils import OptionalImportError

from monai_cl_ext.data.file_names import PICTURES, VOLUMES, files_in
from monai_cl_ext.data.opening import open_file
from monai_cl_ext.data.volume_meta import as_volume


def pictures_of(path: Any) -> list[Path]:
    """The pictures that make a volume; none where the path is no picture and no folder of pictures alone."""
    if not isinstance(path, (str, Path)):
        return []
    path = Path(path).expanduser()
    if path.is_dir() and not path.name.lower().endswith(VOLUMES):
        return [] if files_in(path, (".dcm",)) else files_in(path, PICTURES)
    return [path] if path.name.lower().endswith(PICTURES) else []


def read_pictures(pictures: list[Path], path: Any, convert: Callable[[Any], Any]) -> MetaTensor:
    """Pictures as the slices of a volume (C, W, H, slices)."""
    try:
        reader = PILReader(converter=convert)
    except OptionalImportError as error:
        raise ImportError(f"{path}: needs the package pillow: pip install 'monai-cl-ext[pictures]'") from error
    slices = [_read_picture(reader, picture) for picture in pictures]
    for picture, found in zip(pictures, slices, strict=True):
        if found.shape != slices[0].shape:
            raise ValueError(
                f"{picture}: a slice of {found.shape[:2]} pixels, but {pictures[0]} has {slices[0].shape[:2]}; "
                "give a folder the pictures of one volume"
            )
    stack = torch.as_tensor(np.stack(slices, axis=2))
    return as_volume(stack[None] if stack.ndim == 3 else stack.movedim(-1, 0), path, torch.eye(4))


def _read_picture(reader: PILReader, picture: Path) -> np.ndarray:
    open_file(picture).close()
    try:
        return np.asarray(reader.get_data(reader.read(picture))[0], dtype=np.float32)
    except Exception as error:  # pillow has several
        raise ValueError(f"{picture}: cannot be read as a picture ({error}); check that the file is whole") from error


def color_of(picture: Any) -> Any:
    """The picture with red, green and blue."""
    return picture.convert("RGB")


def gray_of(picture: Any) -> Any:
    """The picture with one channel; deep ones keep their numbers."""
    return picture.convert("L") if picture.mode == "P" or len(picture.getbands()) > 1 else picture


def numbers_of(picture: Any) -> Any:
    """The numbers of a mask, also those of one with a palette."""
    return picture.convert("L") if len(picture.getbands()) > 1 else picture
