# SPDX-License-Identifier: Apache-2.0
"""Finds the volumes of a data set: an MSD folder, or any folder of NIfTI files with an optional folder of labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

PATIENT_PATTERN = r"(.+?)(?:_frame\d+)?$"
"""The file name without suffix and without a trailing frame number, so that the two frames of ACDC share a patient."""

SUFFIXES = (".nii.gz", ".nii")


def find_cases(
    dataset_dir: str | Path, label_dir: str | Path | None = None, patient_pattern: str = PATIENT_PATTERN
) -> list[dict[str, str]]:
    """Lists the volumes of a data set as MONAI's dictionaries.

    A folder with a ``dataset.json`` is read as the Medical Segmentation Decathlon lays it out: the "training" entries
    with their labels, and the "test" entries without. Any other folder gives its ``.nii`` and ``.nii.gz`` files.

    Args:
        dataset_dir: the folder of the data set.
        label_dir: folder of labels with the same file names as the images; for a folder without ``dataset.json``.
        patient_pattern: regular expression matched at the start of a file name without suffix; its first group is
            the patient.

    Returns:
        ``{"image": path, "label": path, "patient": id}`` of each volume, sorted by path; "label" only where there
        is one.

    Raises:
        FileNotFoundError: when a folder or a listed file is absent, or the folder holds no volume.
        ValueError: when ``dataset.json`` is malformed, a label has no image, or the pattern fits no file name.
    """
    folder = _existing_folder(Path(dataset_dir), "dataset_dir")
    description = folder / "dataset.json"
    if not description.is_file():
        cases = _plain_cases(folder, None if label_dir is None else _existing_folder(Path(label_dir), "label_dir"))
    elif label_dir is None:
        cases = _msd_cases(description)
    else:
        raise ValueError(
            f"{description} names the labels itself, found label_dir {str(label_dir)!r} as well; leave label_dir out, "
            "or give the folder of the images as dataset_dir"
        )
    expression = _compiled(patient_pattern)
    for case in cases:
        case["patient"] = _patient(Path(case["image"]), expression)
    return sorted(cases, key=lambda case: case["image"])


def case_name(path: str | Path) -> str:
    """The file name of a volume without ``.nii`` or ``.nii.gz``."""
    name = Path(path).name
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _existing_folder(folder: Path, argument: str) -> Path:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise FileNotFoundError(f"{argument} {folder}: expected a folder, found {found}; check the path")
    return folder


def _volumes(folder: Path) -> list[Path]:
    # Names that start with a dot are leftovers of macOS archives.
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and not path.name.startswith("."))


def _plain_cases(folder: Path, label_folder: Path | None) -> list[dict[str, str]]:
    images = _volumes(folder)
    if not images:
        raise FileNotFoundError(
            f"{folder}: found no .nii or .nii.gz file and no dataset.json; give the folder that holds the volumes"
        )
    labels = {case_name(path): path for path in _volumes(label_folder)} if label_folder else {}
    if label_folder and not labels:
        raise FileNotFoundError(f"{label_folder}: found no .nii or .nii.gz file; give the folder that holds the labels")
    cases = []
    for image in images:
        case = {"image": str(image)}
        label = labels.pop(case_name(image), None)
        if label is not None:
            case["label"] = str(label)
        cases.append(case)
    if labels:
        orphans = ", ".join(str(path) for path in list(labels.values())[:3])
        raise ValueError(
            f"{len(labels)} label(s) without an image of the same name in {folder}: {orphans}; "
            "add the image or remove the label"
        )
    return cases


def _msd_cases(description: Path) -> list[dict[str, str]]:
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{description}: not readable as JSON ({error}); repair or remove the file") from error
    lists = {name: content.get(name, []) for name in ("training", "test")} if isinstance(content, dict) else {}
    if not any(lists.values()) or not all(isinstance(entries, list) for entries in lists.values()):
        raise ValueError(
            f'{description}: expected a list "training" of {{"image": path, "label": path}}, found none; '
            "repair the file, or remove it to read the folder as plain volumes"
        )
    return [_msd_case(entry, description) for entries in lists.values() for entry in entries]


def _msd_case(entry: Any, description: Path) -> dict[str, str]:
    named = {"image": entry} if isinstance(entry, str) else entry
    if not isinstance(named, dict) or not isinstance(named.get("image"), str):
        raise ValueError(
            f'{description}: expected entries {{"image": path, "label": path}} or a path, found {entry!r}; '
            "repair that entry"
        )
    case = {}
    for key in ("image", "label"):
        if named.get(key):
            path = description.parent / named[key]
            if not path.is_file():
                raise FileNotFoundError(f"{path}: listed as {key} in {description}, found no such file; restore it")
            case[key] = str(path)
    return case


def _compiled(pattern: str) -> re.Pattern[str]:
    expression = re.compile(pattern)
    if not expression.groups:
        raise ValueError(f"patient_pattern {pattern!r}: expected a group for the patient, found none; add parentheses")
    return expression


def _patient(image: Path, expression: re.Pattern[str]) -> str:
    found = expression.match(case_name(image))
    if not found or not found.group(1):
        raise ValueError(
            f"{image}: its name does not fit patient_pattern {expression.pattern!r}; "
            "give a pattern whose first group is the patient"
        )
    return found.group(1)
