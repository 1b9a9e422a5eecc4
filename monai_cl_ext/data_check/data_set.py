# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set as a whole: its patients, its labels, its classes, the numbers of its slices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.data.channels import MOST_CHANNELS
from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.same_volumes import same_volumes
from monai_cl_ext.data.splits import split_patients
from monai_cl_ext.data_check.facts import ERROR, NOTE, WARNING, CaseFacts, Finding, named
from monai_cl_ext.names import first_names

VALIDATION, TEST, PARTITIONS = 0.1, 0.25, 4  # defaults of the bundles
FEW_PATIENTS = 3  # one each to train, to select and to test with


def equal_files(cases: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """One warning for each group of patients, or for a patient, that has an image more than once."""
    copies: dict[tuple[str, ...], list[str]] = {}
    for group in same_volumes(cases):
        owners = tuple(dict.fromkeys(str(case["patient"]) for case in group))
        copies.setdefault(owners, []).extend(image_file(case) for case in group)
    found = []
    for owners, files in copies.items():
        if len(owners) > 1:
            whose = f"patients {' and '.join(map(repr, owners))} have the same image"
            remedy = "it counts twice, and may be trained and tested on; remove one, or give both the same patient"
        else:
            whose, remedy = f"patient {owners[0]!r} has one image twice", "it counts twice; remove one"
        found.append(Finding(WARNING, f"{named(files)}: {whose}; {remedy}", tuple(files)))
    return found


def label_notes(cases: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What volumes without a label serve for."""
    labeled = sum(bool(case.get("label")) for case in cases)
    if not labeled:
        message = "no volume has a label: enough for pre-training; fine-tuning needs labels of a few (label_dir)"
        return [Finding(NOTE, message)]
    if labeled < len(cases):
        return [Finding(NOTE, f"{labeled} of {len(cases)} volumes have a label; the others serve pre-training")]
    return []


def split_findings(cases: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Whether the split of the bundles can be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal volumes are told apart from this
        try:
            split_patients([dict(case) for case in cases], VALIDATION, TEST)
        except ValueError as error:
            return [Finding(ERROR, f"{len({case['patient'] for case in cases})} patient(s): {error}")]
    return []


def channel_findings(facts: Sequence[CaseFacts]) -> list[Finding]:
    """That so many channels are rather the moments of a series."""
    many = [(one.image, one.volume.channels) for one in facts if one.volume and one.volume.channels > MOST_CHANNELS]
    if not many:
        return []
    files = tuple(file for file, _ in many)
    message = (
        f"{named(files)}: {many[0][1]} channels; if they are time points, write those to train on to files of their own"
    )
    return [Finding(WARNING, message, files)]


def slice_findings(facts: Sequence[CaseFacts], slice_axis: int) -> list[Finding]:
    """Volumes of fewer slices than partitions."""
    counts = [(one.image, one.volume.shape[slice_axis]) for one in facts if one.volume]
    thin = [file for file, count in counts if count < PARTITIONS]
    if thin and len(thin) == len(counts) and all(count == 1 for _, count in counts):
        return [Finding(NOTE, "every volume is one slice; set partitions to 1, and use methods without partitions")]
    if not thin:
        return []
    message = (
        f"{named(thin, len(counts))}: fewer slices along axis {slice_axis} than {PARTITIONS} partitions; set "
        "slice_axis to the axis that counts the slices, or a smaller number of partitions"
    )
    return [Finding(WARNING, message, tuple(thin))]


def class_findings(facts: Sequence[CaseFacts], names: Mapping[int, str], num_classes: int) -> list[Finding]:
    """Empty labels, classes that are in no label or in few patients, classes without a name.

    Args:
        facts: of all cases.
        names: of foreground classes, as far as they have such.
        num_classes: background included.
    """
    read = [(one, one.segmentation) for one in facts if one.segmentation is not None]
    if not read:
        return []
    found = []
    empty = tuple(one.label or "" for one, label in read if not label.box)
    if empty:
        message = f"{named(empty, len(read))}: nothing but background in the label; check it, or remove the label"
        found.append(Finding(WARNING, message, empty))
    patients = {
        number: {one.patient for one, label in read if number in label.voxels} for number in range(1, num_classes)
    }
    absent = [number for number, owners in patients.items() if not owners]
    if absent and len(absent) < len(patients):
        held = sorted({number for _, label in read for number in label.voxels})
        values = sorted({0, *held})
        message = (
            f"class {_told(absent, names)} of {num_classes} is in no label, the labels hold {first_names(held, 8)}; "
            f"renumber the classes without gaps, by LoadCased(label_values={values}) and num_classes "
            f"{len(values)} (docs/own_data.md), or set num_classes"
        )
        found.append(Finding(WARNING, message))
    every = {one.patient for one, _ in read}
    for number, owners in patients.items():
        if 0 < len(owners) < min(FEW_PATIENTS, len(every)):
            files = tuple(one.label or "" for one, label in read if number in label.voxels)
            message = (
                f"{named(files)}: class {_told([number], names)} is in {len(owners)} of {len(every)} labeled patients; "
                "a split cannot have it in training, validation and test; label more, or merge the class"
            )
            found.append(Finding(WARNING, message, files))
    highest = max((number for _, label in read for number in label.voxels), default=0)
    if names and highest > max(names):
        files = tuple(one.label or "" for one, label in read if max(label.voxels) > max(names))
        message = (
            f"{named(files, len(read))}: class {highest}, but dataset.json names the classes up to {max(names)}; name "
            "it there, or correct the labels"
        )
        found.append(Finding(WARNING, message, files))
    return found


def placeholder_note(facts: Sequence[CaseFacts]) -> list[Finding]:
    """That the spacing is not known, where no header tells it."""
    read = [one for one in facts if one.volume is not None]
    if not read or any(one.volume and one.volume.placed for one in read):
        return []
    if all(Path(one.image).suffix.lower() not in (".nii", ".gz") for one in read):
        return []  # pictures have none, as everyone knows
    message = (
        "no header tells a spacing (an identity affine, 1 mm along each axis, stands for what was not known): do not "
        "resample (pixdim null), and give distances in voxels (use_spacing False of a study)"
    )
    return [Finding(NOTE, message)]


def _told(numbers: Sequence[int], names: Mapping[int, str]) -> str:
    told = [f"{number} ({names[number]})" if number in names else str(number) for number in numbers]
    return first_names(told, 8)
