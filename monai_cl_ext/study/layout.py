# SPDX-License-Identifier: Apache-2.0
"""Names of the files and folders of a study."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

PLAN, CARD, ENVIRONMENT = "plan.json", "data_card.csv", "environment.json"
"""Of the study: what is run, its data, and where it was planned."""

PROBE_LOG = "plan_log.txt"
"""Of the study: what libraries said while steps of its cells were timed."""

SCORES, PAPER_COMPAT, SCORES_LAST = "scores.csv", "paper_compat.csv", "scores_last.csv"
"""Of a cell that is scored, and of the study, which collects those of its cells."""

EVAL_LAST, INFERENCE_LAST = "eval_last", "inference_last"
"""Of a cell: the predictions of its last checkpoint, and the run that writes them."""

TASK, DONE, LOG = "task.json", "done", "log.txt"
"""Of a cell: what it runs, that it is done, and what it printed."""

REUSED = ".reused"
"""Of a cell, behind the name of a run: it was done in another cell, which the file names."""

KEPT = " ^+=_-()[]."
LONGEST = 150
"""Of the characters of a folder's name; most file systems hold 255 bytes."""


def predicted(folder: Path, pattern: str) -> list[Path]:
    """Files below the folder of a cell by the pattern of their names, without the predictions of its last checkpoint.

    Those are found below their own folder, ``EVAL_LAST`` of the cell.
    """
    return sorted(path for path in folder.rglob(pattern) if path.relative_to(folder).parts[0] != EVAL_LAST)


def folder_name(name: str) -> str:
    """A name as that of one folder: letters, digits and some marks stay, all else is percent-encoded.

    Different names give different folders, and none of them leads out of the folder that holds it.
    """
    encoded = "".join(
        mark if mark.isascii() and (mark.isalnum() or mark in KEPT) else quote(mark, safe="", errors="surrogateescape")
        for mark in name
    )
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > LONGEST:
        encoded = f"{encoded[:LONGEST]}~{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"
    return encoded
