# SPDX-License-Identifier: Apache-2.0
"""Photographs, decoded once and served from memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.cores import threads_that_read
from monai_cl_ext.data.file_names import refuse_no_cases
from monai_cl_ext.data.picture_files import converted, eight_bits, is_deep, open_picture
from monai_cl_ext.progress import progress_bar

if TYPE_CHECKING:
    from PIL.Image import Image

MANY_PICTURES = 200
STRIP = 50  # a longer side of so many times the shorter one is no picture


class PictureDataset(Dataset[dict[str, Any]]):
    """Pictures of one size, kept as uint8.

    Each is decoded once, when the dataset is made, by :func:`read_picture`: its shorter side is resized to ``size``
    without aliasing, and the middle square is cut out. One warning names the first picture of more than 8 bits.

    An item is {"image": float32 (C, size, size) in [0, 1], "class": int, "volume": int, "position": 1.0, "partition":
    int}. "volume" counts patients, and "partition" is the class, so that the probes that are for slices tell classes
    apart and let no picture of a patient help another of the same. A picture without a class has -1 for both.

    Args:
        data: dictionaries with "image", "class"? and "patient", as from :func:`find_pictures`.
        size: side in pixels.
        channels: 3 for colors, 1 for gray.
        workers: threads that decode; None is one a core, at most eight.
        progress: shows a bar where there are many pictures.

    Attributes:
        files: of each picture.
        patients: of each "volume".

    Raises:
        FileNotFoundError, PermissionError: when a picture is absent or may not be read.
        TypeError: when ``data`` holds something else than cases.
        ValueError: when there is no picture, or one cannot be read; the message names the file.
        ImportError: when pillow is missing.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        size: int,
        channels: int = 3,
        *,
        workers: int | None = None,
        progress: bool = True,
    ) -> None:
        if not data:
            raise ValueError("data: expected at least one picture, found none; check the data folder and the split")
        refuse_no_cases(data)
        self.size, self.channels = positive_integer("size", size), one_of("channels", channels, (1, 3))
        self.files = [str(case["image"]) for case in data]
        self.patients = sorted({str(case["patient"]) for case in data})
        number = {patient: place for place, patient in enumerate(self.patients)}
        self.volume = torch.tensor([number[str(case["patient"])] for case in data])
        self.label = torch.tensor([int(case.get("class", -1)) for case in data])
        with ThreadPoolExecutor(workers or threads_that_read()) as pool:
            read = pool.map(self._read, self.files)
            quiet = not progress or len(data) < MANY_PICTURES
            bar = progress_bar(read, "Pictures", len(data), unit="picture", quiet=quiet)
            images, deep = zip(*bar, strict=True)
        self._image = torch.stack(images)
        if any(deep):
            warnings.warn(
                f"{sum(deep)} of {len(data)} pictures have more than 8 bits a pixel, such as "
                f"{self.files[deep.index(True)]}: each is scaled from its own lowest value to its highest; where their "
                "brightness has to be comparable, save them with 8 bits",
                stacklevel=2,
            )

    def _read(self, file: str) -> tuple[Tensor, bool]:
        """The middle square, and whether it had more than 8 bits."""
        picture = open_picture(file)
        return _middle_square(picture, file, self.size, self.channels), is_deep(picture)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._image)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One picture with its tags."""
        label = int(self.label[index])
        return {
            "image": self._image[index].float() / 255,
            "class": label,
            "volume": int(self.volume[index]),
            "position": 1.0,
            "partition": label,
        }


def read_picture(file: str, size: int, channels: int = 3) -> Tensor:
    """The middle square of a picture with the side ``size``, uint8 (channels, size, size), rows first.

    It is upright as its EXIF orientation says. Transparency is left out, and the colors below it stay. A gray picture
    of more than 8 bits, or of floating-point numbers, is scaled: its own lowest value becomes 0, its highest 255. One
    smaller than ``size`` is enlarged.

    Raises:
        FileNotFoundError, PermissionError: when the file is absent or may not be read.
        ValueError: when it is no picture, or damaged, or a strip of which nothing would remain.
        ImportError: when pillow is missing.
    """
    return _middle_square(open_picture(file), file, size, channels)


def _middle_square(picture: Image, file: str, size: int, channels: int) -> Tensor:
    from PIL.Image import Resampling

    if max(picture.size) > STRIP * min(picture.size):
        raise ValueError(
            f"{file}: a strip of {picture.width} x {picture.height} pixels, of which the middle square would show "
            "nearly nothing; cut out what is meant, or leave it out"
        )
    shown = converted(eight_bits(picture, file), "RGB" if channels == 3 else "L", file)
    scale = size / min(shown.size)
    width, height = (max(size, round(side * scale)) for side in shown.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = shown.resize((width, height), Resampling.BICUBIC)
    values = np.asarray(resized.crop((left, top, left + size, top + size)))
    return torch.from_numpy(values.reshape(size, size, channels).copy()).movedim(2, 0).contiguous()
