# SPDX-License-Identifier: Apache-2.0
"""Names of the files of a data set: suffixes, order, and which files are no data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

VOLUMES = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def case_name(image: str | Path | Sequence[str]) -> str:
    """The name of a volume's file or folder without the suffix of NIfTI files and pictures.

    Args:
        image: a path, or those of the channels, of which the first is taken.
    """
    name = Path(files_of(image)[0]).name
    for suffix in (*VOLUMES, *PICTURES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a folder with one of the suffixes, sorted by name, numbers in names by their value."""
    # Names that start with a dot are leftovers of macOS archives.
    found = (path for path in folder.iterdir() if path.name.lower().endswith(suffixes) and path.name[0] != ".")
    return sorted(found, key=lambda path: name_order(path.name))


def name_order(name: str) -> list[Any]:
    """A key that sorts names as they are read: slice2 before slice10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def files_of(image: Any) -> list[str]:
    """The files of a case's "image": one, or one a channel."""
    return [str(path) for path in image] if isinstance(image, (list, tuple)) else [str(image)]


def image_file(case: Mapping[str, Any]) -> str:
    """The file that a case is known by: its image, or the first of its channels."""
    return files_of(case["image"])[0]


def case_files(case: Mapping[str, Any]) -> list[str]:
    """The files of a case, those of the image first."""
    return [file for key in ("image", "label") if case.get(key) for file in files_of(case[key])]


def by_case(paths: Iterable[Path]) -> dict[str, Path]:
    """The files by their :func:`case_name`.

    Raises:
        ValueError: when two have one name, such as ``a.nii`` and ``a.nii.gz``.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(case_name(path), path)
        if other != path:
            raise ValueError(
                f"{other}: {path} has the same name but for the suffix, and may be the same image; keep one of the "
                "two, or give labels a folder of their own as label_dir"
            )
    return found


def existing_folder(folder: str | Path, argument: str) -> Path:
    """The folder as a path.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is no text, as where a command line made a number of it.
    """
    if not isinstance(folder, (str, Path)):
        raise ValueError(
            f"{argument} must be text, found the {type(folder).__name__} {folder!r}; a command line reads a name of "
            f"digits as a number: write ./ before it, as in --{argument} ./2024"
        )
    path = Path(folder)
    if not path.is_dir():
        found = "a file" if path.exists() else "a link to nowhere" if path.is_symlink() else "nothing"
        raise FileNotFoundError(f"{argument} {path}: expected a folder, found {found}; check the path")
    return path


def refuse_no_cases(data: Sequence[Any]) -> None:
    """Refuses a list of something else than cases, such as paths.

    Raises:
        TypeError: names what was found.
    """
    for case in data:
        if not isinstance(case, Mapping):
            raise TypeError(
                f'data: expected cases, such as {{"image": PATH, "patient": NAME}}, found {case!r}; find_cases and '
                "find_pictures list those of a folder"
            )
