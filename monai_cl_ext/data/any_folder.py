# SPDX-License-Identifier: Apache-2.0
"""Finds the images of a folder, whichever of the known layouts it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl_ext.data.folders import find_cases, holds_volumes
from monai_cl_ext.data.pictures import TABLE, find_pictures


def find_images(data_dir: str | Path, **layout: Any) -> list[dict[str, Any]]:
    """The pictures of a folder with ``labels.csv`` and no volume, or volumes (NIfTI, MSD), pictures, or class folders.

    Args:
        data_dir: the folder.
        layout: arguments of :func:`find_cases`; with any of them it alone is asked.

    Raises:
        FileNotFoundError: when there is no folder, or nothing in it.
        ValueError: as the functions that find cases and pictures do.
    """
    folder, reasons = Path(data_dir), []
    if not folder.is_dir():
        raise FileNotFoundError(f"data_dir {folder}: found {'a file' if folder.exists() else 'none'}; give a folder")
    if layout:
        return list(find_cases(folder, **layout))
    for find in (find_pictures,) if has_table_of_pictures(folder) else (find_cases, find_pictures):
        try:
            return list(find(folder))
        except FileNotFoundError as error:
            reasons.append(str(error))
    raise FileNotFoundError("; or ".join(reasons))


def has_table_of_pictures(folder: Path) -> bool:
    """Whether the ``labels.csv`` of a folder lists pictures; beside volumes it is a table of something else."""
    return (folder / TABLE).is_file() and not holds_volumes(folder)
