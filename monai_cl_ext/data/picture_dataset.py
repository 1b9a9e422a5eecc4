# SPDX-License-Identifier: Apache-2.0
"""Photographs, decoded once and served from memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.extras import need

MANY_PICTURES = 200


class PictureDataset(Dataset[dict[str, Any]]):
    """Pictures of one size, kept as uint8.

    Each is decoded once, when the dataset is made: its shorter side is resized to ``size`` without aliasing, and the
    middle square is cut out.

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
        self.size, self.channels = positive_integer("size", size), one_of("channels", channels, (1, 3))
        self.files = [str(case["image"]) for case in data]
        self.patients = sorted({str(case["patient"]) for case in data})
        number = {patient: place for place, patient in enumerate(self.patients)}
        self.volume = torch.tensor([number[str(case["patient"])] for case in data])
        self.label = torch.tensor([int(case.get("class", -1)) for case in data])
        with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8)) as pool:
            read = pool.map(lambda file: read_picture(file, self.size, self.channels), self.files)
            quiet = not progress or len(data) < MANY_PICTURES
            self._image = torch.stack(list(tqdm(read, "Pictures", len(data), leave=False, disable=quiet)))

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

    Raises:
        ValueError: when the file is no picture.
        ImportError: when pillow is missing.
    """
    need(file, "pictures", "PIL")
    from PIL import Image

    try:
        with Image.open(file) as picture:
            converted = picture.convert("RGB" if channels == 3 else "L")
    except OSError as error:
        raise ValueError(f"{file}: cannot be read as a picture ({error}); check that the file is whole") from error
    scale = size / min(converted.size)
    width, height = (max(size, round(side * scale)) for side in converted.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = converted.resize((width, height), Image.Resampling.BICUBIC)
    values = np.asarray(resized.crop((left, top, left + size, top + size)))
    return torch.from_numpy(values.reshape(size, size, channels).copy()).movedim(2, 0).contiguous()
