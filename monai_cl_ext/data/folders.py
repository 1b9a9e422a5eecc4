# SPDX-License-Identifier: Apache-2.0
"""Finds the volumes of a data set: an MSD folder, a folder of NIfTI files or pictures, or folders of DICOM series."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from monai_cl_ext.data.decathlon import described_cases, description_of

PATIENT_PATTERN = r"(.+?)(?:_frame\d+)?\Z"
"""The file name without suffix and without a trailing frame number, so that the two frames of ACDC share a patient."""

VOLUMES = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def find_cases(
    dataset_dir: str | Path,
    label_dir: str | Path | None = None,
    patient_pattern: str = PATIENT_PATTERN,
    label_suffix: str = "",
    series: str | None = None,
) -> list[dict[str, str]]:
    """Lists the volumes of a data set as MONAI's dictionaries.

    A folder with a ``dataset.json`` is read as the Medical Segmentation Decathlon lays it out: the "training" entries
    with their labels, and the "test" entries without. Any other folder gives its ``.nii`` and ``.nii.gz`` files or,
    where it has none, its PNG, JPEG and BMP pictures, each a volume of one slice. With ``series`` each folder that fits
    it is a volume. ``LoadCased`` reads them all.

    Args:
        dataset_dir: the folder of the data set.
        label_dir: folder of labels with the names of their images, for a folder without ``dataset.json``; it may be
            the folder of the images where ``label_suffix`` tells them apart. With ``series``: from each of its folders
            to its label, a file or a folder of pictures, such as ``"../Ground"``.
        patient_pattern: regular expression matched at the start of a file name without suffix; its first group is
            the patient. With ``series``: of the folder that stands for its first wildcard.
        label_suffix: what a label's name has more than its image's, such as ``"_segmentation"``; other files of
            ``label_dir`` are no labels.
        series: pattern below ``dataset_dir`` of folders that hold one volume each, a DICOM series or pictures, such as
            ``"*/T2SPIR/DICOM_anon"``.

    Returns:
        ``{"image": path, "label": path, "patient": id}`` of each volume, sorted by path; "label" only where there
        is one.

    Raises:
        FileNotFoundError: when a folder or a listed file is absent, or there is no volume or no label where some are
            asked for.
        ValueError: when ``dataset.json`` is malformed, a label has no image, the pattern fits no name, or arguments
            contradict each other.
    """
    folder = _existing_folder(Path(dataset_dir), "dataset_dir")
    expression = _compiled(patient_pattern)
    if series is not None:
        cases = _series_cases(folder, series, label_dir, label_suffix)
        names = [_at_first_wildcard(Path(case["image"]).relative_to(folder), series) for case in cases]
    else:
        description = description_of(folder)
        if description is None:
            label_folder = None if label_dir is None else _existing_folder(Path(label_dir), "label_dir")
            cases = _plain_cases(folder, label_folder, label_suffix)
        elif label_dir is None:
            cases = described_cases(description)
        else:
            raise ValueError(
                f"{description} names the labels itself, found label_dir {str(label_dir)!r} as well; leave label_dir "
                "out, or give the folder of the images as dataset_dir"
            )
        names = [case_name(case["image"]) for case in cases]
    for case, name in zip(cases, names, strict=True):
        case["patient"] = _patient(case["image"], name, expression)
    return sorted(cases, key=lambda case: case["image"])


def case_name(path: str | Path) -> str:
    """The name of a volume's file or folder, without the suffix of NIfTI files and pictures."""
    name = Path(path).name
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


def _existing_folder(folder: Path, argument: str) -> Path:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "a link to nowhere" if folder.is_symlink() else "nothing"
        raise FileNotFoundError(f"{argument} {folder}: expected a folder, found {found}; check the path")
    return folder


def _volumes(folder: Path) -> list[Path]:
    return files_in(folder, VOLUMES) or files_in(folder, PICTURES)


def _plain_cases(folder: Path, label_folder: Path | None, label_suffix: str) -> list[dict[str, str]]:
    labels: dict[str, Path] = {}
    if label_folder:
        named = {case_name(path): path for path in _volumes(label_folder)}
        labels = {name.removesuffix(label_suffix): path for name, path in named.items() if name.endswith(label_suffix)}
        if not labels:
            raise FileNotFoundError(
                f"{label_folder}: found no .nii or .nii.gz file and no picture whose name ends in {label_suffix!r}; "
                "give the folder that holds the labels, and as label_suffix what their names end in"
            )
    taken = {os.path.realpath(path) for path in labels.values()}  # Path.resolve raises on a link to itself
    images = [path for path in _volumes(folder) if os.path.realpath(path) not in taken]
    if not images:
        raise FileNotFoundError(
            f"{folder}: found no .nii or .nii.gz file and no dataset.json, nor a PNG, JPEG or BMP picture; give the "
            "folder that holds the volumes, and for folders of DICOM files a pattern of theirs as series"
        )
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
            f"{len(labels)} label(s) without an image of the same name in {folder}: {orphans}; add the image, remove "
            "the label, or give as label_suffix what the names of labels have more"
        )
    return cases


def _series_cases(folder: Path, series: str, label_dir: str | Path | None, label_suffix: str) -> list[dict[str, str]]:
    if label_suffix or (label_dir is not None and Path(label_dir).is_absolute()):
        raise ValueError(
            f"with series, label_dir leads from each folder to its label, such as '../Ground', and label_suffix is not "
            f"used; found label_dir {str(label_dir)!r} and label_suffix {label_suffix!r}"
        )
    images = _series_folders(folder, series)
    if not images:
        raise FileNotFoundError(
            f"{folder}: found no folder that fits series {series!r}; give a pattern below dataset_dir such as "
            "'*/T2SPIR/DICOM_anon'"
        )
    cases = [{"image": str(image)} for image in images]
    if label_dir is not None:
        for case in cases:
            label = os.path.normpath(Path(case["image"]) / label_dir)
            if os.path.exists(label):
                case["label"] = label
        if not any("label" in case for case in cases):
            raise FileNotFoundError(f"{label}: found no label there, nor for any other series; check label_dir")
    return cases


def _series_folders(folder: Path, series: str) -> list[Path]:
    """The folders that fit a pattern, each once: a link to a folder above would lead to all of them again."""
    try:
        found = [path for path in folder.glob(series) if path.is_dir()]
    except (NotImplementedError, ValueError) as error:
        raise ValueError(f"series {series!r}: expected a pattern below dataset_dir ({error})") from error
    shortest = sorted(found, key=lambda path: (len(path.parts), path))
    return list({os.path.realpath(path): path for path in reversed(shortest)}.values())


def _at_first_wildcard(path: Path, series: str) -> str:
    """The part of a path at the place of the first wildcard of its pattern; the first part where there is none."""
    places = [number for number, part in enumerate(Path(series).parts) if re.search(r"[*?\[]", part)]
    return path.parts[min(places, default=0)]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"patient_pattern {pattern!r}: no regular expression ({error}); correct it") from error
    if not expression.groups:
        raise ValueError(f"patient_pattern {pattern!r}: expected a group for the patient, found none; add parentheses")
    return expression


def _patient(image: str, name: str, expression: re.Pattern[str]) -> str:
    found = expression.match(name)
    if not found or not found.group(1):
        raise ValueError(
            f"{image}: its name {name!r} does not fit patient_pattern {expression.pattern!r}; "
            "give a pattern whose first group is the patient"
        )
    return found.group(1)
