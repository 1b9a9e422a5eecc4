# SPDX-License-Identifier: Apache-2.0
"""Hands data to a configuration, whose text values are a programming language, so that they stay data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLAIN = re.compile(r"[A-Za-z0-9_./\\: ,+=()~-]*")
"""Text that MONAI's parser leaves as it is: it cannot begin an expression, a reference or a macro, nor hold an id."""


def literal(text: str) -> str:
    """The config value that MONAI's parser turns into exactly ``text``.

    Plain paths stay as they are. Any other text becomes an expression of one string literal, in which each character
    that the parser or Python could read otherwise is escaped.
    """
    if PLAIN.fullmatch(text):
        return text
    escaped = "".join(mark if PLAIN.fullmatch(mark) and mark != "\\" else f"\\U{ord(mark):08x}" for mark in text)
    return f"$'{escaped}'"


def handed_over(data: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], str]:
    """Config values of data: text as :func:`literal`, numbers as they are, lists by a file that is read as data.

    Args:
        data: by config id: texts, numbers, lists of cases, splits.
        path: of the file that is to hold the lists.

    Returns:
        Values by config id, and the content of the file.
    """
    lists = {name: value for name, value in data.items() if isinstance(value, (list, tuple, dict))}
    values = {name: literal(value) if isinstance(value, str) else value for name, value in data.items()}
    for name in lists:
        values[name] = {"_target_": "monai_cl_ext.data.read_listed", "path": literal(str(path)), "name": literal(name)}
    return values, json.dumps(lists, indent=1)
