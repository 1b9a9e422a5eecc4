# SPDX-License-Identifier: Apache-2.0
"""Checks the data before a training, and shows what was found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl_ext.data_check.check import check_folder
from monai_cl_ext.data_check.facts import ERROR, WARNING, CaseFacts
from monai_cl_ext.data_check.report import LISTED, Checked, write_check
from monai_cl_ext.data_check.suggestion import Suggestion
from monai_cl_ext.names import visible
from monai_cl_ext.screen import Say


def checked_data(
    data_dir: str, layout: Mapping[str, Any], folder: Path, say: Say
) -> tuple[list[CaseFacts], Suggestion]:
    """What the check found of each case, and its settings to start from; errors and warnings are shown.

    Args:
        data_dir: folder of the data.
        layout: arguments of ``data.find_cases``.
        folder: where the page of the check is written.
        say: shows a line.

    Raises:
        ValueError: when training cannot start on these data.
    """
    say(f"checking {visible(data_dir)}")
    checked = check_folder(data_dir, splits=False, **layout)
    page = write_check(checked, folder)
    say(checked.sentences[0])
    for level in (ERROR, WARNING):
        _show(checked, level, page, say)
    if checked.errors:
        raise ValueError(
            f"{len(checked.errors)} error(s) in {data_dir}, so training cannot start; {page} has all and what to do"
        )
    facts = [one for one in checked.cases if isinstance(one, CaseFacts)]
    if checked.suggestion is None or len(facts) < len(checked.cases):
        raise ValueError(
            f"{data_dir}: expected volumes with label maps, found photographs that have a class; train takes label "
            "maps alone, dino_classification is the bundle for classes"
        )
    return facts, checked.suggestion


def _show(checked: Checked, level: str, page: Path, say: Say) -> None:
    found = [finding for finding in checked.findings if finding.level == level]
    for finding in found[:LISTED]:
        say(f"{level}: {visible(finding.message)}")
    if len(found) > LISTED:
        say(f"and {len(found) - LISTED} more of this level, in {page}")
