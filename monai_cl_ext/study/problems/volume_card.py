# SPDX-License-Identifier: Apache-2.0
"""Rows of the data card of a study of volumes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data.splits import Case
from monai_cl_ext.data_check.examine import examine
from monai_cl_ext.data_check.facts import CaseFacts
from monai_cl_ext.data_check.looking import look_at_all


def volume_cards(parts: Sequence[Sequence[Case]], classes: Mapping[int, str], slice_axis: int) -> list[dict[str, Any]]:
    """For each part patients, volumes, slices, sizes, spacing, volumes with each class.

    Each case is read whole, once for all parts and folds, as the trainings read it.

    Raises:
        ValueError: when a file is refused, such as a label with a class that is not among ``classes``.
    """
    every = sorted((case for part in parts for case in part), key=lambda case: bool(case.get("label")))
    cases = {image_file(case): case for case in every}  # one part may have an image without its label
    load = LoadCased(allow_missing_keys=True, num_classes=len(classes) + 1)
    facts = look_at_all(list(cases.values()), partial(examine, load=load))
    _refuse_errors(facts)
    for finding in (finding for one in facts for finding in one.findings):
        warnings.warn(finding.message, stacklevel=2)
    known = {one.image: one for one in facts}
    return [_card(part, known, slice_axis, classes) for part in parts]


def _refuse_errors(facts: Sequence[CaseFacts]) -> None:
    refused = [one.error for one in facts if one.error is not None]
    if refused:
        more = f" (and {len(refused) - 1} more: python -m monai_cl_ext check lists all)" if len(refused) > 1 else ""
        raise ValueError(refused[0].message + more)


def _card(
    cases: Sequence[Case], known: Mapping[str, CaseFacts], axis: int, classes: Mapping[int, str]
) -> dict[str, Any]:
    volumes = [volume for case in cases if (volume := known[image_file(case)].volume) is not None]
    labels = [label for case in cases if case.get("label") and (label := known[image_file(case)].segmentation)]
    shapes = np.array([volume.shape for volume in volumes])
    return {
        "patients": len({case["patient"] for case in cases}),
        "volumes": len(cases),
        "slices": int(shapes[:, axis].sum()) if len(shapes) else 0,
        "size": ranges(shapes),
        "spacing": ranges(np.array([volume.spacing for volume in volumes])),
        "labeled volumes": len(labels),
        **{f"volumes with {name}": sum(number in label.voxels for label in labels) for number, name in classes.items()},
    }


def ranges(values: np.ndarray) -> str:
    """ "128-160 x 128-160 x 8-12" """
    if not len(values):
        return "-"
    pairs = zip(values.min(axis=0), values.max(axis=0), strict=True)
    return " x ".join(f"{low:.4g}" if low == high else f"{low:.4g}-{high:.4g}" for low, high in pairs)
