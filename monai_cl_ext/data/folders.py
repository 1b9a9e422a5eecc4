# SPDX-License-Identifier: Apache-2.0
"""Finds the volumes of a data set: an MSD folder, a folder of NIfTI files or pictures, or folders of DICOM series."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.data.channels import Volume, volumes_of
from monai_cl_ext.data.decathlon import described_cases, description_of
from monai_cl_ext.data.file_names import PICTURES, VOLUMES, by_case, case_name, existing_folder, files_in, image_file
from monai_cl_ext.data.label_names import pair_beside, split_labels, warn_of_left_labels, without_series
from monai_cl_ext.data.nnunet import IMAGES, LABELS, TEST
from monai_cl_ext.data.patients import PATIENT_PATTERN, compiled, patient_of, patients_by_folder, warn_of_look_alikes

NO_DATA = {"derivatives", "sourcedata", "code"}  # folders of BIDS beside those of its subjects
OF_LABELS = re.compile(r"(?i)(labels?|masks?|seg|segmentations?|gt|ground_?truth|annotations?)(T[rs])?\Z")


def find_cases(
    dataset_dir: str | Path,
    label_dir: str | Path | None = None,
    patient_pattern: str = PATIENT_PATTERN,
    label_suffix: str = "",
    series: str | None = None,
) -> list[dict[str, Any]]:
    """Lists the volumes of a data set as MONAI's dictionaries.

    A folder with a ``dataset.json`` is read as the Medical Segmentation Decathlon or nnU-Net lays it out: the
    "training" entries with their labels, and the "test" entries without. Any other folder gives its ``.nii`` and
    ``.nii.gz`` files, or those in folders below it or, where it has none, its PNG, JPEG, BMP, TIFF and WebP pictures,
    each a volume of one slice. With ``series`` each folder that fits it is a volume. ``LoadCased`` reads them all.

    Without ``label_dir`` files among the images that are named like label maps, such as ``..._gt`` or ``..._seg``, are
    the labels of the images of that name, with a warning. Files ``case_0000``, ``case_0001`` of nnU-Net are channels.

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
        is one. "image" is the list of the paths of its channels where these lie in several files.

    Raises:
        FileNotFoundError: when a folder or a listed file is absent, or there is no volume or no label where some are
            asked for.
        ValueError: when ``dataset.json`` is malformed, a label has no image, two files are of one case, the pattern
            fits no name, or arguments contradict each other.
    """
    folder = existing_folder(dataset_dir, "dataset_dir")
    expression = compiled(patient_pattern)
    by_default = patient_pattern == PATIENT_PATTERN
    if series is not None:
        cases = _series_cases(folder, series, label_dir, label_suffix)
        names = [_at_first_wildcard(Path(case["image"]).relative_to(folder), series) for case in cases]
        for case, name in zip(cases, names, strict=True):
            case["patient"] = patient_of(case["image"], name, expression)
        return sorted(cases, key=image_file)
    named = list(_named_cases(folder, label_dir, label_suffix))
    cases = [case for _, case in named]
    for case, patient in zip(cases, _patients_of(named, folder, expression, by_default), strict=True):
        case["patient"] = patient
    if by_default:
        remedy = "give a patient_pattern whose first group is the patient"
        warn_of_look_alikes((case["patient"] for case in cases), remedy)
    return sorted(cases, key=image_file)


def _patients_of(
    named: Sequence[tuple[str, dict[str, Any]]], folder: Path, expression: re.Pattern[str], by_default: bool
) -> list[str]:
    """The patient of each case, by its name and, by default, by the folders below that of the data set."""
    files = [image_file(case) for _, case in named]
    # the number of a channel is no part of a name, but for a pattern of the user's, who sees the files
    names = [name if by_default else case_name(file) for file, (name, _) in zip(files, named, strict=True)]
    patients = [patient_of(file, name, expression) for file, name in zip(files, names, strict=True)]
    if by_default and description_of(folder) is None and not (folder / IMAGES).is_dir():
        return patients_by_folder([Path(file).relative_to(folder) for file in files], patients)
    return patients


def _named_cases(folder: Path, label_dir: str | Path | None, label_suffix: str) -> list[tuple[str, dict[str, Any]]]:
    """The cases of a folder without series, and their names without the number of a channel."""
    description = description_of(folder)
    if description is not None and label_dir is not None:
        raise ValueError(
            f"{description} names the labels itself, found label_dir {str(label_dir)!r} as well; leave label_dir "
            "out, or give the folder of the images as dataset_dir"
        )
    if description is not None:
        return described_cases(description)
    if label_dir is not None:
        return _plain_cases(folder, _labels_of(existing_folder(label_dir, "label_dir"), label_suffix))
    if (folder / IMAGES).is_dir() and not files_in(folder, (*VOLUMES, *PICTURES)):
        labels = _labels_of(folder / LABELS, "") if (folder / LABELS).is_dir() else {}
        test = _files_of(folder / TEST) if (folder / TEST).is_dir() else []
        return _plain_cases(folder / IMAGES, labels, test)
    return _plain_cases(folder, {})


def holds_volumes(folder: Path) -> bool:
    """Whether there is a NIfTI file in a folder or below it, or a ``dataset.json`` that lists volumes."""
    return description_of(folder) is not None or any(files_in(place, VOLUMES) for place in _folders(folder))


def _files_of(folder: Path) -> list[Path]:
    """The volumes of a folder, else those below it, else its pictures."""
    return files_in(folder, VOLUMES) or _files_below(folder) or files_in(folder, PICTURES)


def _files_below(folder: Path) -> list[Path]:
    """The volumes in folders below one that has none itself, such as those of patients and sessions."""
    found = [path for place in _folders(folder) for path in files_in(place, VOLUMES)]
    for path in found:
        inner = path.relative_to(folder).parts[:-1]
        if any(map(OF_LABELS.match, inner)):
            raise FileNotFoundError(
                f"{folder}: found no volume in it, but folders of images and labels below it, such as {path.parent}; "
                "give the folder of the images as dataset_dir and that of the labels as label_dir"
            )
    return found


def _folders(folder: Path) -> Iterator[Path]:
    """A folder and those below it, each once; hidden folders are left out."""
    seen: set[str] = set()
    for place, folders, _ in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in NO_DATA)
        here = os.path.realpath(place)
        if here in seen:  # a link to a folder above, or a second one
            folders.clear()
            continue
        seen.add(here)
        yield Path(place)


def _warn_of_left_volumes(folder: Path, read: set[str]) -> None:
    """Warns where volumes lie in a folder and more of them below it, which are not read.

    Args:
        folder: of the images.
        read: real paths of all files that are read, labels included.
    """
    if not files_in(folder, VOLUMES):
        return
    below = [path for place in _folders(folder) if place != folder for path in files_in(place, VOLUMES)]
    left = [path for path in below if os.path.realpath(path) not in read]
    if left:
        warnings.warn(
            f"{folder}: {len(left)} volume(s) in folders below it are left out, such as {left[0]}, since others lie in "
            "it directly; move these to a folder of their own to read all, and give a folder of labels as label_dir",
            stacklevel=4,
        )


def _labels_of(folder: Path, label_suffix: str) -> dict[str, Path]:
    """The labels of a folder by the names of their images."""
    files = _files_of(folder)
    named = by_case(path for path in files if case_name(path).endswith(label_suffix))
    if not named:
        raise FileNotFoundError(
            f"{folder}: found no .nii or .nii.gz file and no picture whose name ends in {label_suffix!r}; "
            "give the folder that holds the labels, and as label_suffix what their names end in"
        )
    return {name.removesuffix(label_suffix): path for name, path in named.items()}


def _plain_cases(
    folder: Path, labels: Mapping[str, Path], more: Sequence[Path] = ()
) -> list[tuple[str, dict[str, Any]]]:
    """The cases of a folder of volumes, and of more files, with their names.

    Label maps among them are labels where there are no others.
    """
    taken = {os.path.realpath(path) for path in labels.values()}  # Path.resolve raises on a link to itself
    found = [*_files_of(folder), *more]
    _warn_of_left_volumes(folder, taken | {os.path.realpath(path) for path in more})
    files = [path for path in found if os.path.realpath(path) not in taken]
    if not files:
        raise FileNotFoundError(
            f"{folder}: found no .nii or .nii.gz file and no dataset.json, nor a picture; give the "
            "folder that holds the volumes, and for folders of DICOM files a pattern of theirs as series"
        )
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        by_folder.setdefault(path.parent, []).append(path)
    for inner in by_folder.values():
        by_case(inner)
    images, beside = split_labels(without_series(files))
    volumes = volumes_of(images, labels)
    if not labels:
        pairs = pair_beside(volumes, beside)
        return [(volume.name, _case(volume, pairs.get(str(volume.files[0])))) for volume in volumes]
    warn_of_left_labels(beside)
    names = Counter(volume.name for volume in volumes)
    twice = next((volume for volume in volumes if volume.name in labels and names[volume.name] > 1), None)
    if twice:
        raise ValueError(
            f"{labels[twice.name]}: {names[twice.name]} images have the name of this label, one being "
            f"{twice.files[0]}; give each image a name of its own"
        )
    _refuse_orphans(folder, labels, names)
    return [(volume.name, _case(volume, labels.get(volume.name))) for volume in volumes]


def _case(volume: Volume, label: Path | None) -> dict[str, Any]:
    return {"image": volume.image} if label is None else {"image": volume.image, "label": str(label)}


def _refuse_orphans(folder: Path, labels: Mapping[str, Path], names: Container[str]) -> None:
    orphans = [str(path) for name, path in labels.items() if name not in names]
    if orphans:
        raise ValueError(
            f"{len(orphans)} label(s) without an image of the same name in {folder}: {', '.join(orphans[:3])}; add the "
            "image, remove the label, or give as label_suffix what the names of labels have more"
        )


def _series_cases(folder: Path, series: str, label_dir: str | Path | None, label_suffix: str) -> list[dict[str, Any]]:
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
    cases: list[dict[str, Any]] = [{"image": str(image)} for image in images]
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
        matching = [path for path in folder.glob(series) if path.is_dir()]
    except (NotImplementedError, ValueError) as error:
        raise ValueError(f"series {series!r}: expected a pattern below dataset_dir ({error})") from error
    # "*" of a pattern stands for hidden folders too
    found = [path for path in matching if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    shortest = sorted(found, key=lambda path: (len(path.parts), path))
    return list({os.path.realpath(path): path for path in reversed(shortest)}.values())


def _at_first_wildcard(path: Path, series: str) -> str:
    """The part of a path at the place of the first wildcard of its pattern; the first part where there is none."""
    places = [number for number, part in enumerate(Path(series).parts) if re.search(r"[*?\[]", part)]
    return path.parts[min(places, default=0)]
