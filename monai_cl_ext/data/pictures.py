# SPDX-License-Identifier: Apache-2.0
"""Photographs with a class each, from a table or from class folders."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.data.file_names import PICTURES, case_name, existing_folder, files_in, name_order
from monai_cl_ext.data.folders import OF_LABELS
from monai_cl_ext.data.label_table import refuse_like_classes, rows_of_table
from monai_cl_ext.data.patients import warn_of_look_alikes

TABLE = "labels.csv"
KEPT = ("__MACOSX", "@eaDir")  # by macOS in archives, by Synology for previews


def find_pictures(
    dataset_dir: str | Path, table: str | Path | None = None, columns: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Lists the pictures of a data set with their classes and patients.

    With a table (a CSV file with a header; ``labels.csv`` of the folder by default) each row is a picture. Without one
    each folder in the data set's is a class, and each of its pictures a patient of its own; hidden folders and files
    are passed over.

    Args:
        dataset_dir: the folder of the data set; paths in the table start from it.
        table: the table, when it is another file.
        columns: names of the table's columns where they are not "image", "label" and "patient", in any letters. The
            columns of labels and patients may be absent where they are not named here: then there is no class, and
            every picture is a patient.

    Returns:
        ``{"image": path, "class": number, "class_name": name, "patient": id}`` of each picture, sorted by path. Classes
        are numbered in the order of their names, numbers in names by their value; without labels there are none.

    Raises:
        FileNotFoundError: when the folder, the table or a listed picture is absent, or there is no picture.
        ValueError: when the table cannot be read, lacks a column, or contradicts itself, when two classes differ in
            capitals or blanks alone, or a file is listed twice, also by a link.
    """
    folder = existing_folder(dataset_dir, "dataset_dir")
    path = Path(table) if table is not None else folder / TABLE
    if table is not None and not path.is_file():
        raise FileNotFoundError(f"table {path}: found no such file; check the path")
    rows = rows_of_table(folder, path, columns or {}) if path.is_file() else _rows_of_folders(folder)
    if not rows:
        raise FileNotFoundError(
            f"{folder}: found no {TABLE} and no folder of pictures ({', '.join(PICTURES)}); give a table, or a folder "
            "for each class"
        )
    _refuse_listed_twice(rows)
    refuse_like_classes([row["class_name"] for row in rows if "class_name" in row], path if path.is_file() else folder)
    names = sorted({row["class_name"] for row in rows if "class_name" in row}, key=name_order)
    for row in rows:
        if "class_name" in row:
            row["class"] = names.index(row["class_name"])
    return sorted(rows, key=lambda row: row["image"])


def _rows_of_folders(folder: Path) -> list[dict[str, Any]]:
    classes = _inner_folders(folder)
    of_labels = [inner for inner in classes if OF_LABELS.match(inner.name) and files_in(inner, PICTURES)]
    if of_labels:
        raise ValueError(
            f"{folder}: expected a folder for each class, found one of labels, {of_labels[0].name}; give the folder "
            f"of the images as dataset_dir and {of_labels[0]} as label_dir, or list the pictures in a table, {TABLE}"
        )
    passed_over = [deeper for inner in classes for deeper in _inner_folders(inner) if files_in(deeper, PICTURES)]
    rows = [
        {"image": str(picture), "patient": f"{inner.name}/{case_name(picture)}", "class_name": inner.name}
        for inner in classes
        for picture in files_in(inner, PICTURES)
    ]
    if rows and passed_over:
        warnings.warn(
            f"{passed_over[0]}: its pictures are not read, nor those of {len(passed_over) - 1} other folder(s) in the "
            "folders of classes; move them up, or give a table",
            stacklevel=3,
        )
    warn_of_look_alikes([case_name(row["image"]) for row in rows], f"name the patients in a table, {TABLE}")
    return rows


def _inner_folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without those of programs: hidden ones, previews and leftovers of archives."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in KEPT)


def _refuse_listed_twice(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a file that is listed again, also by a link."""
    listed: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        other = listed.setdefault(os.path.realpath(row["image"]), row)
        if other is not row:
            raise ValueError(
                f"{row['image']} ({_owners(row)}) is the same file as {other['image']} ({_owners(other)}); list it "
                "once, under one class and one patient"
            )


def _owners(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {row[name]!r}" for key, name in (("class", "class_name"), ("patient", "patient"))
                     if name in row)  # fmt: skip


def classes_of(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the classes in the order of their numbers.

    Raises:
        ValueError: when a case has no class.
    """
    without = [case for case in cases if "class" not in case]
    if without:
        raise ValueError(f"{without[0]['image']} has no class; give labels to all pictures")
    return [name for _, name in sorted({(case["class"], case["class_name"]) for case in cases})]
