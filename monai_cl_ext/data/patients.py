# SPDX-License-Identifier: Apache-2.0
"""Tells the patient by the name of a file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_cl_ext.names import first_names

PATIENT_PATTERN = r"(sub-[A-Za-z0-9]+(?=_|\Z)|BraTS-[A-Z]+-\d{5}(?=-\d{3}(?:-|\Z))|.+?(?=(?:_frame\d+|_E[DS]|_4d)*\Z))"
"""The subject of a BIDS or BraTS name (``BraTS-GLI-00001-000`` has a time point), else the name without a frame at its
end, so that ACDC's two frames share a patient."""

STRUCTURED = ("sub-", "BraTS-")
"""Beginnings of patients that such names tell."""

# What parts images of one patient: sides, visits, sequences, views and slices.
WORDS = (
    r"left|right|l|r|od|os|baseline|follow[-_ ]?up|pre|post"
    r"|(?:visit|v|ses|session|tp|timepoint|time|scan|slice|frame|phase)[-_ ]?\d+"
    r"|t1|t1w|t1n|t1c|t1ce|t1gd|t2|t2w|t2f|flair|pd|adc|dwi|bold|ct|pet|mr|mri"
    r"|[234]ch(?:_\w+)?|sa|la|sax|lax|ap|pa|lateral|ed|es"
)
ENDS = re.compile(rf"(.*?)[_.\- ](?:{WORDS})\Z", re.DOTALL | re.IGNORECASE)
"""The beginning of a name with such an end is the first group."""

OCCASION = re.compile(
    rf"(?:{WORDS}|(?:day|batch|part)[-_ ]?\d+|train(?:ing)?|val(?:idation)?|test(?:ing)?)\Z", re.IGNORECASE
)
"""Names of folders that hold many patients, or images of one."""


def compiled(pattern: str) -> re.Pattern[str]:
    """The expression of a ``patient_pattern``.

    Raises:
        ValueError: when it is no regular expression, or has no group.
    """
    try:
        expression = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"patient_pattern {pattern!r}: no regular expression ({error}); correct it") from error
    if not expression.groups:
        raise ValueError(f"patient_pattern {pattern!r}: expected a group for the patient, found none; add parentheses")
    return expression


def patient_of(image: str, name: str, expression: re.Pattern[str]) -> str:
    """What the first group of an expression finds in a name.

    Raises:
        ValueError: when the name does not fit.
    """
    found = expression.match(name)
    if not found or not found.group(1):
        raise ValueError(
            f"{image}: its name {name!r} does not fit patient_pattern {expression.pattern!r}; "
            "give a pattern whose first group is the patient"
        )
    return found.group(1)


def patients_by_folder(paths: Sequence[Path], patients: Sequence[str]) -> list[str]:
    """The patients of files in folders: the folder that a name begins with, or else the outermost one.

    Where the outermost folders are all named like a visit, a sequence or a part (``visit1``, ``ED``, ``training``) and
    what is in them is not, it is the next one or, in the end, the name of the file. One warning where names in the
    outermost folders look more like patients than these do.

    Args:
        paths: of the files, below the folder of the data set.
        patients: by the names of the files; those of BIDS and BraTS stay.
    """
    found = list(patients)
    unnamed: dict[int, list[str]] = {}
    for place, (path, patient) in enumerate(zip(paths, patients, strict=True)):
        folders = path.parts[:-1]
        if folders and not patient.startswith(STRUCTURED):
            found[place] = next((folder for folder in folders if path.name.startswith(folder)), "")
            if not found[place]:
                unnamed[place] = [*folders, patient]
    levels = list(unnamed.values())
    while levels and min(map(len, levels)) > 1:
        inside: dict[str, set[str]] = {}
        for outer, *inner in levels:
            inside.setdefault(next((name for name in inner if not OCCASION.match(name)), inner[-1]), set()).add(outer)
        if len(inside) < 2 or all(map(OCCASION.match, inside)):
            break
        outermost = set.union(*inside.values())
        if not all(map(OCCASION.match, outermost)):
            shared = sorted(inner for inner, outer in inside.items() if len(outer) > 1)
            if shared and len(inside) > len(outermost):
                warnings.warn(
                    f"the {len(outermost)} folders {first_names(sorted(outermost))} are taken for patients, though "
                    f"{first_names(shared)} are in several of them: if these are the patients, a split puts their "
                    "images into training and test; give a patient_pattern such as '(.+)' for the names of the files",
                    stacklevel=4,
                )
            break
        levels = [names[1:] for names in levels]
    for place, (name, *_) in zip(unnamed, levels, strict=True):
        found[place] = name
    return found


def warn_of_look_alikes(patients: Iterable[str], remedy: str) -> None:
    """One warning where names of patients differ in nothing but a word such as ``_left`` or ``_visit2`` at their ends.

    Args:
        patients: as the file names give them.
        remedy: what to do, the end of the sentence.
    """
    groups: dict[str, list[str]] = {}
    for patient in sorted(set(patients)):
        match = ENDS.match(patient)
        if match and match[1]:
            groups.setdefault(match[1], []).append(patient)
    alike = [group for group in groups.values() if len(group) > 1]
    if alike:
        shown = " and ".join(map(repr, alike[0][:3]))
        warnings.warn(
            f"{sum(map(len, alike))} patients look like {len(alike)}, such as {shown}: a split may put images of one "
            f"into training and test; {remedy}",
            stacklevel=4,
        )
