# SPDX-License-Identifier: Apache-2.0
"""Lists the pictures of a table with their classes and patients."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from monai_cl_ext.data.csv_tables import columns_and_rows
from monai_cl_ext.data.file_names import case_name
from monai_cl_ext.data.patients import warn_of_look_alikes
from monai_cl_ext.names import first_names

COLUMNS = ("image", "label", "patient")
PATIENTS = {
    "patient", "patientid", "patientname", "patientnumber", "patientno", "pid", "patients", "mrn", "case", "caseid",
    "subject", "subjectid", "subjectname", "participant", "participantid", "person", "personid", "study", "id",
}  # fmt: skip
"""Likely names of a column of patients, in small letters without what stands between words."""


def rows_of_table(folder: Path, path: Path, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """``{"image": path, "patient": id, "class_name"?: name}`` of each picture that a table lists.

    Args:
        folder: where paths in the table start.
        path: of the table.
        columns: names of the columns "image", "label" and "patient" where they have others.

    Raises:
        FileNotFoundError: when a listed picture is absent.
        ValueError: as ``columns_and_rows``; when a column is absent, a row names no picture, or two rows contradict
            each other.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(f"columns: expected names for {', '.join(COLUMNS)}, found one for {unknown[0]!r}; correct it")
    head, lines = columns_and_rows(path, columns.get("image", "image"))
    image, label, patient = (_column(head, path, name, columns) for name in COLUMNS)
    rows: dict[str, tuple[int, dict[str, Any]]] = {}
    twice, nameless = [], 0
    for line, cells in lines:
        picture = _picture(folder, path, line, cells[str(image)])
        known = cells[patient] if patient else ""
        nameless += int(bool(patient) and not known)
        row = {"image": str(picture), "patient": known or case_name(picture)}
        row |= {"class_name": cells[label]} if label and cells[label] else {}
        first, other = rows.setdefault(os.path.realpath(picture), (line, row))
        if first == line:
            continue
        if {**row, "image": ""} != {**other, "image": ""}:
            raise ValueError(
                f"{path}: lines {first} and {line} both name {cells[str(image)]!r}, with another class or patient: "
                f"{_told(other)} and {_told(row)}; keep the one that is right"
            )
        twice.append(line)
    if twice:
        warnings.warn(
            f"{path}: {len(twice)} line(s) repeat a picture and are left out: {first_names(twice)}", stacklevel=4
        )
    if nameless:
        warnings.warn(
            f"{path}: {nameless} row(s) have nothing in the column {patient!r}; each of these pictures is taken as a "
            "patient of its own, and a split may part those of one patient",
            stacklevel=4,
        )
    if not patient:
        _warn_without_patients(path, head, lines, [row["patient"] for _, row in rows.values()])
    return [row for _, row in rows.values()]


def refuse_like_classes(names: Sequence[str], source: Path) -> None:
    """Refuses classes that differ in capitals or blanks alone.

    Raises:
        ValueError: names both.
    """
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        other = seen.setdefault("".join(name.casefold().split()), name)
        if other != name:
            raise ValueError(
                f"{source}: the classes {other!r} and {name!r} differ in capitals or blanks alone; write both alike"
            )


def _column(head: Sequence[str], path: Path, name: str, columns: Mapping[str, str]) -> str | None:
    """The column of a table for one of ours; None where it is absent and was not asked for."""
    wanted = columns.get(name, name)
    if wanted in head:
        return wanted
    alike = [found for found in head if found.lower() == wanted.lower()]
    if name not in columns and len(alike) == 1:
        return alike[0]
    if name in columns or name == "image":
        raise ValueError(
            f"{path}: expected the column {wanted!r}, found {', '.join(head)}; name the columns with columns"
        )
    return None


def _picture(folder: Path, path: Path, line: int, name: str) -> Path:
    if not name:
        raise ValueError(f"{path}: line {line} names no picture; name one, or remove the line")
    for found in (folder / name, folder / PureWindowsPath(name).as_posix()):
        if found.is_file():
            return found
    raise FileNotFoundError(f"{path}: names {name!r}, found no such file in {folder}; restore it, or remove the line")


def _told(row: Mapping[str, Any]) -> str:
    return f"{row.get('class_name', 'no class')!r} of {row['patient']!r}"


def _warn_without_patients(
    path: Path, head: Sequence[str], lines: Sequence[tuple[int, Mapping[str, str]]], patients: Sequence[str]
) -> None:
    """Every picture is a patient of its own then, which may be a mistake."""
    for name in head:
        values = [cells[name] for _, cells in lines if cells[name]]
        if "".join(filter(str.isalnum, name.lower())) in PATIENTS and len(set(values)) < len(values):
            warnings.warn(
                f"{path}: there is no column 'patient', so each picture is taken as a patient of its own, and a "
                f"split may part those of one; if {name!r} holds the patients, give columns={{'patient': {name!r}}}",
                stacklevel=5,
            )
            return
    warn_of_look_alikes(patients, "give the table a column of patients")
