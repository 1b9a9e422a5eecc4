# SPDX-License-Identifier: Apache-2.0
"""Marks by which the images of a training are known again, without their names and without reading them whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

MARK_DIGITS = 16
SAMPLE = 1 << 16  # bytes


def image_marks(files: Iterable[str]) -> dict[str, str]:
    """For each image that can be read, a mark by which it is known again under any name and in any folder.

    It is made of the size of a file and of samples at its beginning, middle and end, so that a copy which was
    compressed or written anew has another mark. Of a folder the middle file is looked at.

    Args:
        files: path of each image, of several channels the first; a series is a folder.

    Returns:
        ``MARK_DIGITS`` digits by path. What cannot be read has none: whoever reads its voxels will say why.
    """
    marks = {}
    for path in files:
        with suppress(OSError, ValueError, IndexError):
            file = _one_file(os.path.expanduser(path))
            facts = os.stat(file)
            marks[path] = _mark(file, facts.st_size, facts.st_mtime_ns)
    return marks


@lru_cache(maxsize=1 << 16)
def _mark(file: str, size: int, changed: int) -> str:
    """The mark of one file, which several handlers of a run ask for, found once as long as it was not changed."""
    digest = hashlib.sha256(str(size).encode())
    with open(file, "rb") as content:
        for place in (0, size // 2, max(size - SAMPLE, 0)):
            content.seek(place)
            digest.update(content.read(SAMPLE))
    return digest.hexdigest()[:MARK_DIGITS]


def _one_file(path: str) -> str:
    """The path, or the middle one of the files of a folder, hidden ones and those of folders below left out."""
    if not os.path.isdir(path):
        return path
    with os.scandir(path) as entries:
        found = sorted(entry.path for entry in entries if entry.name[0] != "." and entry.is_file())
    return found[len(found) // 2]
