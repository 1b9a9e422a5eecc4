# SPDX-License-Identifier: Apache-2.0
"""Files of a study: written whole or not at all, and tables whose names stay names."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

TEXT = ("method", "volume", "patient", "class", "metric")


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


def read_table(path: Path) -> pd.DataFrame:
    """Scores as they were written: the patient 001 stays 001, and only numbers can be missing."""
    types = dict.fromkeys(TEXT, str)
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values={"value": [""], "learning_rate": [""]})
    return table.astype({"value": float}) if "value" in table else table
