# SPDX-License-Identifier: Apache-2.0
"""Rows of the data card of a study of photographs, and what tells two photographs apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl_ext.data.picture_files import open_picture
from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.problems.volume_card import ranges


def picture_cards(parts: Sequence[Sequence[Case]], classes: Mapping[int, str]) -> list[dict[str, Any]]:
    """For each part patients, photographs, width x height, photographs with a label, photographs of each class."""
    return [
        {
            "patients": len({case["patient"] for case in part}),
            "photographs": len(part),
            "size": ranges(np.array([_look(case["image"])[1] for case in part])),
            "labeled photographs": sum(bool(case.get("label")) for case in part),
            **{f"photographs of {name}": sum(case.get("label") == name for case in part) for name in classes.values()},
        }
        for part in parts
    ]


def picture_hash(path: str | Path) -> str:
    """Of the pixels, upright as the EXIF orientation says, so that another format without loss is the same picture.

    Raises:
        OSError, ValueError: when the file is absent or no whole picture, see ``data.picture_files.open_picture``.
    """
    return _look(path)[0]


def _look(path: str | Path) -> tuple[str, tuple[int, int]]:
    state = os.stat(path)
    return _decoded(str(path), state.st_mtime_ns, state.st_size)


@cache  # every fold asks for all photographs
def _decoded(path: str, changed: int, length: int) -> tuple[str, tuple[int, int]]:
    picture = open_picture(path)
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    pixels = np.ascontiguousarray(np.asarray(picture))
    digest = hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest(), picture.size
