# SPDX-License-Identifier: Apache-2.0
"""Tells the patient by the name of a file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

PATIENT_PATTERN = r"(sub-[A-Za-z0-9]+(?=_|\Z)|.+?(?=(?:_frame\d+|_E[DS]|_4d)*\Z))"
"""The subject of a BIDS name, else the name without a frame at its end, so that ACDC's two frames share a patient."""

# What parts images of one patient at the end of their names: sides, visits, sequences, views and slices.
ENDS = re.compile(
    r"(.*?)[_.\- ](?:left|right|l|r|od|os|baseline|follow[-_ ]?up|pre|post"
    r"|(?:visit|v|ses|session|tp|timepoint|time|scan|slice|frame|phase)[-_ ]?\d+"
    r"|t1|t1w|t1n|t1c|t1ce|t1gd|t2|t2w|t2f|flair|pd|adc|dwi|bold|ct|pet|mr|mri"
    r"|[234]ch(?:_\w+)?|sa|la|sax|lax|ap|pa|lateral|ed|es)\Z",
    re.DOTALL | re.IGNORECASE,
)
"""The beginning of such a name is the first group."""


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


def patient_by_folder(path: Path, patient: str) -> str:
    """The patient of a file in folders of patients: the folder that its name begins with, or else the outermost one.

    Args:
        path: of the file, below the folder of the data set.
        patient: by the name of the file; that of BIDS stays.
    """
    folders = path.parts[:-1]
    if not folders or patient.startswith("sub-"):
        return patient
    return next((folder for folder in folders if path.name.startswith(folder)), folders[0])


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
