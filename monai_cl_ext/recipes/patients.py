# SPDX-License-Identifier: Apache-2.0
"""Which patients are pre-trained on, trained on with their labels, and held back for validation."""

from __future__ import annotations

from collections.abc import Sequence

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.splits import Case, split_patients
from monai_cl_ext.data_check.facts import CaseFacts

SHARE = 0.2  # of the labeled patients, for validation
FEWEST = 4  # labeled patients from which on some are held back


def labelled_patients(cases: Sequence[Case]) -> list[str]:
    """Patients with a label on one volume at least, sorted."""
    return sorted({case["patient"] for case in cases if case.get("label")})


def validation_patients(labelled: int, wanted: int | None = None) -> tuple[int, str]:
    """The number of patients to hold back for validation, and why.

    Args:
        labelled: number of labeled patients.
        wanted: by the user, if any.

    Raises:
        ValueError: when no labeled patient is left to train on.
    """
    if wanted is not None:
        if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted < labelled:
            raise ValueError(
                f"validation_patients must be a number from 0 to {labelled - 1}, since one at least of the {labelled} "
                f"labeled patient(s) is for training, found {wanted!r}"
            )
        return wanted, "as it was given"
    if labelled < FEWEST:
        return 0, (
            f"fewer than {FEWEST} labeled patients, so all are trained on; the last weights are taken, and nothing "
            "tells how good they are"
        )
    return max(1, round(SHARE * labelled)), f"{SHARE:.0%} of {labelled} labeled patients; they choose the best weights"


def training_split(cases: Sequence[Case], validation: int) -> dict[str, list[Case]]:
    """The cases of each part; nothing of a validation patient is trained on.

    Of a validation patient only the volumes with a label are in "validation"; its others are left out.

    Args:
        cases: as from ``data.find_cases``.
        validation: number of labeled patients to hold back.

    Returns:
        "pretrain" (all volumes but those of validation patients), "train" (those of them with a label), "validation"
        and "test", which is empty.
    """
    labelled = set(labelled_patients(cases))
    usable = [case for case in cases if case.get("label") or case["patient"] not in labelled]
    split = split_patients(usable, validation, 0)
    held_back = {case["patient"] for case in split["validation"]}
    pretrain = [case for case in cases if case["patient"] not in held_back]
    return {**split, "pretrain": pretrain, "train": [case for case in pretrain if case.get("label")]}


def held_classes(cases: Sequence[Case], facts: Sequence[CaseFacts]) -> set[int]:
    """The classes that the labels of these cases hold, without the background.

    Args:
        cases: some of those of the check.
        facts: of all cases, as the check found them.
    """
    images = {image_file(case) for case in cases}
    labels = [one.segmentation for one in facts if one.image in images and one.segmentation is not None]
    return {number for label in labels for number in label.voxels} - {0}
