# SPDX-License-Identifier: Apache-2.0
"""Checks a folder of volumes or of photographs before any training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data.any_folder import find_images, has_table_of_pictures
from monai_cl_ext.data.described_labels import foreground_names
from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data_check.card import card_of
from monai_cl_ext.data_check.data_set import (
    channel_findings,
    class_findings,
    equal_files,
    label_notes,
    placeholder_note,
    slice_findings,
    split_findings,
)
from monai_cl_ext.data_check.differing import differing
from monai_cl_ext.data_check.examine import examine
from monai_cl_ext.data_check.facts import ERROR, LEVELS, CaseFacts, Finding
from monai_cl_ext.data_check.looking import look_at_all
from monai_cl_ext.data_check.outlier_slices import chosen_cases, draw_cases
from monai_cl_ext.data_check.photographs import examine_picture, picture_card, picture_findings
from monai_cl_ext.data_check.report import Checked
from monai_cl_ext.data_check.stored import space_findings
from monai_cl_ext.data_check.suggestion import suggest

KEYS = ("image", "label")


def check_folder(
    data_dir: str | Path,
    num_classes: int | None = None,
    slice_axis: int | None = None,
    workers: int | None = None,
    splits: bool = True,
    **layout: Any,
) -> Checked:
    """Reads everything in a folder once and tells what is wrong, what differs, and which settings to start from.

    Args:
        data_dir: folder of volumes or pictures, see :func:`find_images`.
        num_classes: of the labels, background included; None takes what dataset.json names, or what the labels hold.
        slice_axis: axis that counts the slices; None is suggested by spacing and shape.
        workers: processes that read; None is one a core.
        splits: whether the split of the bundles has to be possible; False for who splits otherwise.
        layout: arguments of :func:`find_cases`.

    Raises:
        FileNotFoundError, ValueError: when there is nothing to check, or an argument is wrong.
    """
    if num_classes is not None:
        positive_integer("num_classes", num_classes)
    if slice_axis is not None:
        one_of("slice_axis", slice_axis, (0, 1, 2))
    if workers is not None:
        positive_integer("workers", workers)
    cases = find_images(data_dir, **layout)
    if any("class_name" in case for case in cases) or (not layout and has_table_of_pictures(Path(data_dir))):
        return _check_pictures(str(data_dir), cases, workers)
    names = foreground_names(Path(data_dir))
    load = LoadCased(KEYS, allow_missing_keys=True, num_classes=num_classes)
    facts = look_at_all(cases, partial(examine, load=load), workers)
    classes = _classes(facts, names, num_classes)
    read = any(one.volume is not None for one in facts)
    suggestion = suggest(facts, classes, slice_axis, workers) if read else None
    findings = [finding for one in facts for finding in one.findings]
    if not read:
        findings.append(Finding(ERROR, f"{data_dir}: no volume can be read; repair the files, or give another folder"))
    findings += [*equal_files(cases), *(split_findings(cases) if splits else ())]
    findings += [*label_notes(cases), *differing(facts)]
    findings += class_findings(facts, names, classes[0]) if classes else []
    axis = 2
    if suggestion:
        axis = suggestion.settings["slice_axis"]
        findings += [*channel_findings(facts), *slice_findings(facts, axis), *placeholder_note(facts)]
        findings += space_findings(suggestion.stored_bytes)
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Checked(
        folder=str(data_dir),
        cases=facts,
        findings=findings,
        card=card_of(facts, names, suggestion.cut if suggestion else {}),
        suggestion=suggestion,
        options=[f"--cases#{name} {str(value)!r}" for name, value in layout.items()],
        drawing=draw_cases(chosen_cases(facts, findings), axis, load),
    )


def _check_pictures(folder: str, cases: Sequence[dict[str, Any]], workers: int | None) -> Checked:
    facts = look_at_all(cases, examine_picture, workers)
    findings = [finding for one in facts for finding in one.findings]
    findings += [*equal_files(cases), *picture_findings(facts)]
    findings += split_findings([{**case, "label": case.get("class_name")} for case in cases])
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Checked(folder, facts, findings, picture_card(facts))


def _classes(facts: Sequence[CaseFacts], names: dict[int, str], given: int | None) -> tuple[int, str] | None:
    """Number of classes and where it comes from; None without labels."""
    if given is not None:
        return given, "as it was given"
    held = max((max(one.segmentation.voxels) for one in facts if one.segmentation is not None), default=None)
    if held is None:
        return None
    named = max(names, default=0)
    if named >= held:
        return named + 1, "the classes that dataset.json names, and background"
    return held + 1, f"the labels hold the classes 0 to {held}"
