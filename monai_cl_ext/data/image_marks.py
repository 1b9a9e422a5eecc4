# SPDX-License-Identifier: Apache-2.0
"""Marks by which the images of a training are known again, without their names and without reading them whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache

MARK_DIGITS = 16
SAMPLE = 1 << 16  # bytes


@lru_cache(maxsize=4)
def image_marks(files: Sequence[str]) -> dict[str, str]:
    """For each image that can be read, a mark by which it is known again under any name and in any folder.

    It is made of the size of a file and of samples at its beginning, middle and end, so that a copy which was
    compressed or written anew has another mark. Of a folder the middle file is looked at.

    Args:
        files: path of each image, of several channels the first, as a tuple; a series is a folder.

    Returns:
        ``MARK_DIGITS`` digits by path.
    """
    marks = {path: _mark(path) for path in files}
    return {path: mark for path, mark in marks.items() if mark is not None}


def _mark(path: str) -> str | None:
    """The mark of one image; None of what cannot be read, since whoever reads the voxels will say why."""
    try:
        with open(_one_file(os.path.expanduser(path)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            for place in (0, size // 2, max(size - SAMPLE, 0)):
                file.seek(place)
                digest.update(file.read(SAMPLE))
    except (OSError, ValueError, IndexError):
        return None
    return digest.hexdigest()[:MARK_DIGITS]


def _one_file(path: str) -> str:
    """The path, or the middle one of the files of a folder, hidden ones and those of folders below left out."""
    if not os.path.isdir(path):
        return path
    with os.scandir(path) as entries:
        found = sorted(entry.path for entry in entries if entry.name[0] != "." and entry.is_file())
    return found[len(found) // 2]
