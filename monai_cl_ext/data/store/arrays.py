# SPDX-License-Identifier: Apache-2.0
"""Arrays of a store, mapped from disk as they are asked for."""

from __future__ import annotations

import math
import mmap
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

OPEN_ARRAYS = 8
"""Files that a process keeps mapped: what it has read of them counts as its memory, and mapping one takes 0.03 ms."""

OF_IMAGES = {"image.npy": np.float16, "label.npy": np.uint8}


class StoredArrays:
    """The arrays of volumes, each a file that all processes map; a copy for a worker takes none along.

    Whoever writes to one writes to memory of its own.

    Args:
        folder: of volumes that were prepared alike.
        contents: names of the volumes in it.
        shapes: (slices, C, H, W) of each.
        map_file: name of the file of superpixel maps in each, or empty.
    """

    def __init__(self, folder: Path, contents: Sequence[str], shapes: np.ndarray, map_file: str) -> None:
        self.folder, self.map_file = str(folder), map_file
        self._contents = np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(len(contents), -1)
        self._shapes = shapes
        self._open: OrderedDict[tuple[int, str], np.ndarray] = OrderedDict()

    def image(self, number: int) -> np.ndarray:
        """Float16 (slices, C, H, W)."""
        return self._array(number, "image.npy")

    def label(self, number: int) -> np.ndarray:
        """uint8 (slices, 1, H, W)."""
        return self._array(number, "label.npy")

    def foreground(self, number: int) -> np.ndarray:
        """int32 (voxels, 4): class, slice, row and column of some voxels of each foreground class."""
        return self._array(number, "foreground.npy")

    def superpixel(self, number: int) -> np.ndarray:
        """Of one to four bytes, (slices, 1, H, W)."""
        return self._array(number, self.map_file)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def _array(self, number: int, file: str) -> np.ndarray:
        key = (number, file)
        found = self._open.pop(key, None)
        if found is None:
            found = self._mapped(number, file)
            while len(self._open) >= OPEN_ARRAYS:
                self._open.popitem(last=False)
        self._open[key] = found
        return found

    def _mapped(self, number: int, file: str) -> np.ndarray:
        path = os.path.join(self.folder, self._contents[number].tobytes().hex(), file)
        try:
            if file not in OF_IMAGES:
                return np.lib.format.open_memmap(path, mode="c")
            # What the header of these two says is known, and reading it takes longer than mapping the file.
            slices, channels, height, width = self._shapes[number].tolist()
            shape = (slices, channels if file == "image.npy" else 1, height, width)
            dtype = np.dtype(OF_IMAGES[file])
            with open(path, "rb") as opened:
                content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
            return np.ndarray(shape, dtype, content, len(content) - math.prod(shape) * dtype.itemsize)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path}: a prepared volume has left the store ({error}) since the data set was made; make it again, "
                "and let nobody remove volumes of a running training"
            ) from error
