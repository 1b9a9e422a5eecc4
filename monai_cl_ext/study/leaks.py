# SPDX-License-Identifier: Apache-2.0
"""Refuses a study whose test or validation patients are known to a model before they should be."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.image_hash import voxel_hash
from monai_cl_ext.data.splits import Case
from monai_cl_ext.study.splits import PARTS

PLACES = {"pretrain": "pre-training", "train": "labeled", "validation": "validation", "test": "test"}
APART = (("train", "validation"), ("train", "test"), ("validation", "test"))
HELD_OUT = (("pretrain", "validation"), ("pretrain", "test"))


class LeakError(ValueError):
    """Patients of a study are not kept apart."""


def refuse_leaks(
    split: Mapping[str, Sequence[Case]],
    transductive: bool = False,
    hash_of: Callable[[str], str] | None = None,
    item: str = "volume",
) -> None:
    """Checks that no patient, and no image under another patient's name, is on both sides of a line.

    Args:
        split: cases under "pretrain", "train", "validation" and "test".
        transductive: pre-training may see images of validation and test patients.
        hash_of: tells images apart by their files; ``voxel_hash`` by default.
        item: what an image is called.

    Raises:
        LeakError: names the patient or patients and the two places.
    """
    lines = APART if transductive else (*APART, *HELD_OUT)
    patients = {part: {case["patient"]: image_file(case) for case in split[part]} for part in PARTS}
    for first, second in lines:
        for patient in sorted(patients[first].keys() & patients[second].keys()):
            one, other = (Path(patients[part][patient]).name for part in (first, second))
            volumes = f"its {item} {one} stands in both" if one == other else f"by its {item}s {one} and {other}"
            raise LeakError(
                f"patient {patient!r} is a {PLACES[first]} patient and a {PLACES[second]} patient ({volumes}); "
                f"keep all {item}s of a patient in one place"
                + ("" if first != "pretrain" else ", or give --transductive to allow it and mark every result")
            )
    _refuse_duplicates(split, lines, hash_of or voxel_hash)


def _refuse_duplicates(
    split: Mapping[str, Sequence[Case]], lines: Sequence[tuple[str, str]], hash_of: Callable[[str], str]
) -> None:
    cases = {image_file(case): case for part in PARTS for case in split[part]}
    same: dict[str, list[Case]] = {}
    for case in cases.values():
        same.setdefault(hash_of(image_file(case)), []).append(case)
    for group in same.values():
        if len({case["patient"] for case in group}) < 2:
            continue
        names = " and ".join(f"{case['patient']!r} ({Path(image_file(case)).name})" for case in group)
        held = {part: {image_file(case) for case in split[part]} for part in PARTS}
        for first, second in lines:
            ones = [case for case in group if image_file(case) in held[first]]
            others = [case for case in group if image_file(case) in held[second]]
            if ones and others:
                raise LeakError(
                    f"the patients {names} have the same image, and {ones[0]['patient']!r} is a {PLACES[first]} "
                    f"patient, {others[0]['patient']!r} a {PLACES[second]} patient; remove one, "
                    "or give both the same patient"
                )
        warnings.warn(f"the patients {names} have the same image; it counts twice", stacklevel=3)
