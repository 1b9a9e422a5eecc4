# SPDX-License-Identifier: Apache-2.0
"""Lists of cases that come from a file, so that no name in them is read as part of a configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_listed(path: str | Path, name: str) -> Any:
    """One entry of a JSON file of lists; a config names the file, and the names of patients and volumes stay data.

    MONAI evaluates text in a configuration that begins with ``$``, ``@`` or ``%``. A list of files that stood there
    would run what somebody named a file.

    Args:
        path: JSON file whose top level maps names to cases, or to the parts of a split.
        name: of the entry.

    Raises:
        FileNotFoundError: when the file is absent.
        ValueError: when it is no such file, or has no such entry.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected a JSON file of lists of cases ({error}); write it again") from error
    if not isinstance(content, dict) or name not in content:
        found = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected the entry {name!r}, found {found}; write it again")
    return content[name]
