# SPDX-License-Identifier: Apache-2.0
"""Hashes of the content of files, remembered as long as size and time of change stay the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from monai_cl_ext.data.file_names import VOLUMES, case_files, case_name, files_of
from monai_cl_ext.data.opening import open_file
from monai_cl_ext.data.store.folder import FILES, KEY_DIGITS, default_store
from monai_cl_ext.files import sha256_of, write_text

TWO_FILES = (".hdr", ".img", ".mhd", ".nhdr")  # a header whose voxels lie in a file of the same name


def case_content(case: Mapping[str, Any], memory: Path) -> str:
    """A hash of all that the image of a case holds, and of how its names end, by which it is read; one of its label.

    Args:
        case: {"image": path, or those of the channels, "label"?: path}; a path may be a folder.
        memory: folder in which hashes are remembered.

    Returns:
        ``KEY_DIGITS`` digits of the image; behind them as many of the label, where there is one.

    Raises:
        FileNotFoundError, PermissionError, OSError: when a file cannot be read.
        ValueError: when the image or the label is no path.
    """
    found = ""
    for key in ("image", "label"):
        paths = case.get(key)
        if paths is not None and not isinstance(paths, (str, Path, list, tuple)):
            raise ValueError(
                f"data: a store takes files, found a {type(paths).__name__} as {key!r}; write it to a file, or give "
                "store=None to keep volumes in memory"
            )
        files = files_of(paths) if paths else []
        parts = [[(_told(path), _content(path, memory)) for path in _belonging(Path(file))] for file in files]
        found += hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:KEY_DIGITS] if parts else ""
    return found


def default_memory() -> Path:
    """Where the default store remembers hashes."""
    return Path(default_store()) / FILES


def image_contents(cases: Iterable[Mapping[str, Any]]) -> list[str]:
    """The hash of each case's image in the default store, as :func:`case_content` tells it."""
    return [case_content({"image": case["image"]}, default_memory()) for case in cases]


def file_contents(cases: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A hash of each file of these cases, with those of a folder; the default store remembers it."""
    files = {str(path): path for case in cases for file in case_files(case) for path in _belonging(Path(file))}
    return {name: _content(path, default_memory()) for name, path in files.items()}


def _told(path: Path) -> str:
    """What the name of a file tells whoever reads it: the format; of a picture of many, or a DICOM file, its order."""
    ending = path.name[len(case_name(path)) :]
    return ending.lower() if ending.lower() in VOLUMES else path.name


def _belonging(path: Path) -> list[Path]:
    """The files of a path: itself, its two files, or all of a folder."""
    path = path.expanduser().absolute()
    if path.is_dir():
        return sorted(found for found in path.rglob("*") if found.is_file())
    if path.name.lower().endswith(TWO_FILES):
        return sorted(found for found in path.parent.iterdir() if found.name.split(".")[0] == path.name.split(".")[0])
    return [path]


def _content(path: Path, memory: Path) -> str:
    """A file's hash: the one remembered, or that of its bytes."""
    return remembered(path, memory, lambda path: sha256_of(path)[:KEY_DIGITS])


def remembered(path: Path, memory: Path, computed: Callable[[Path], str], kind: str = "") -> str:
    """What is computed of a file, once as long as its path, size and time of change stay the same.

    Args:
        path: of the file, absolute.
        memory: folder in which hashes are remembered.
        computed: makes ``KEY_DIGITS`` digits of it.
        kind: of hash, where it is not that of the file's bytes.

    Raises:
        FileNotFoundError, PermissionError, OSError: when the file cannot be read.
    """
    try:
        status = os.stat(path)
    except OSError:
        open_file(path).close()  # says what is wrong
        raise
    mark = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}{kind}"
    name = hashlib.sha256(mark.encode()).hexdigest()[:KEY_DIGITS]
    place = memory / name[:2] / name
    with suppress(OSError):
        if len(known := place.read_text("ascii")) == KEY_DIGITS:
            return known
    open_file(path).close()  # refuses what is no file with something in it
    content = computed(path)
    with suppress(OSError):  # a store that cannot be written to is read all the same
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, content)
    return content
