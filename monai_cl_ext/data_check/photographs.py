# SPDX-License-Identifier: Apache-2.0
"""Looks at photographs that have a class each: unreadable files, sizes, colors, classes, patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monai_cl_ext.data.opening import open_file
from monai_cl_ext.data.picture_dataset import read_picture
from monai_cl_ext.data.picture_files import open_picture
from monai_cl_ext.data_check.data_set import FEW_PATIENTS
from monai_cl_ext.data_check.differing import TIMES
from monai_cl_ext.data_check.facts import ERROR, NOTE, WARNING, Finding, named
from monai_cl_ext.errors import MISTAKES

NO_CLASS = "without a class"
PROBE = 32  # pixels of the reading that decodes a picture to its end
FLAT = 1.0  # standard deviation of gray values from 0 to 255


@dataclass
class PictureFacts:
    """Of one picture; ``size`` (width, height) and ``mode``, pillow's, are empty where it cannot be read."""

    image: str
    patient: str
    class_name: str
    size: tuple[int, int] | tuple[()] = ()
    mode: str = ""
    findings: list[Finding] = field(default_factory=list)


def examine_picture(case: Mapping[str, Any]) -> PictureFacts:
    """What a picture is; it is decoded whole, as a training does."""
    file = str(case["image"])
    facts = PictureFacts(file, str(case["patient"]), str(case.get("class_name", NO_CLASS)))
    try:
        open_file(file).close()
        gray = read_picture(file, PROBE, channels=1)
        picture = open_picture(file)
        facts.size, facts.mode = picture.size, picture.mode
    except Exception as error:
        told = str(error) if isinstance(error, MISTAKES) else f"{file}: cannot be read ({error}); copy it again"
        facts.findings.append(Finding(ERROR, told if file in told else f"{file}: {told}; copy it again", (file,)))
    else:
        if float(gray.float().std()) < FLAT:
            message = f"{file}: nearly all pixels have one gray value; check the file, or leave it out"
            facts.findings.append(Finding(WARNING, message, (file,)))
    return facts


def picture_findings(facts: Sequence[PictureFacts]) -> list[Finding]:
    """What is wrong with the pictures together."""
    read = [one for one in facts if one.size]
    found = []
    modes = Counter(one.mode for one in read)
    if len(modes) > 1:
        files = tuple(one.image for one in read if one.mode != modes.most_common(1)[0][0])
        kinds = ", ".join(f"{count} {mode}" for mode, count in modes.most_common())
        message = (
            f"{named(files, len(read))}: other colors than the rest ({kinds}); all are brought to red, green and blue"
        )
        found.append(Finding(WARNING, message + ", or to gray with channels 1", files))
    found += _odd_sizes(read)
    labeled = [one for one in facts if one.class_name != NO_CLASS]
    if len(labeled) < len(facts):
        files = tuple(one.image for one in facts if one.class_name == NO_CLASS)
        level = WARNING if labeled else NOTE
        message = f"{named(files, len(facts))}: no class; these serve pre-training, training with labels needs a class"
        found.append(Finding(level, message, files))
    classes = {name: [one for one in labeled if one.class_name == name] for name in {one.class_name for one in labeled}}
    for name, group in sorted(classes.items()):
        owners = {one.patient for one in group}
        if len(owners) < FEW_PATIENTS:
            files = tuple(one.image for one in group)
            message = (
                f"{named(files)}: class {name!r} has {len(owners)} patient(s); a split cannot have it in training, "
                "validation and test; add pictures, or merge the class"
            )
            found.append(Finding(WARNING, message, files))
    if len(classes) == 1:
        found.append(Finding(WARNING, f"{next(iter(classes))!r} is the only class; give two or more folders or names"))
    return found


def _odd_sizes(read: Sequence[PictureFacts]) -> list[Finding]:
    """Pictures whose shorter side is off the median by more than three times, in one finding."""
    if not read:
        return []
    sides = np.array([min(one.size) for one in read], dtype=float)
    median = float(np.median(sides))
    files = tuple(
        one.image for one, side in zip(read, sides, strict=True) if side > TIMES * median or side * TIMES < median
    )
    if not files:
        return []
    message = (
        f"{named(files, len(read))}: shorter side off the median of {median:g} pixels by more than {TIMES:g} times; "
        "check that they show the same"
    )
    return [Finding(WARNING, message, files)]


def picture_card(facts: Sequence[PictureFacts]) -> dict[str, Any]:
    """What is in the folder, as values that JSON takes."""
    sizes = np.array([one.size for one in facts if one.size])
    classes = Counter(one.class_name for one in facts)
    return {
        "patients": len({one.patient for one in facts}),
        "pictures": len(facts),
        "refused_pictures": sum(not one.size for one in facts),
        "modes": dict(Counter(one.mode for one in facts if one.size).most_common()),
        "size": {
            "min": sizes.min(axis=0).tolist(),
            "median": np.median(sizes, axis=0).tolist(),
            "max": sizes.max(axis=0).tolist(),
        }
        if len(sizes)
        else None,
        "classes": {
            name: {"pictures": count, "patients": len({one.patient for one in facts if one.class_name == name})}
            for name, count in sorted(classes.items())
        },
    }
