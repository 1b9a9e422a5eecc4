# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """All of the text, or none of it when the disk is full or the process is killed.

    Raises:
        OSError: when it cannot be written; the file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        sentence = f"{error.strerror}: nothing of it was written; free space and run again"
        raise OSError(error.errno, sentence, str(path)) from error


def write_rows(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file of the rows, by :func:`write_text`; its folder is made when missing."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())
