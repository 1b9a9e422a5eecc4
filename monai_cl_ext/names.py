# SPDX-License-Identifier: Apache-2.0
"""Names of volumes, patients, classes, methods and runs, as readers see them and as files are named after them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, lone surrogates, separators of lines and paragraphs
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # reorder the text that follows
LONGEST = 80  # characters of a name that a file's name keeps


def visible(text: str) -> str:
    """The text with an escape, such as ``\\n``, for each character that would not be seen, or would move others."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSEEN or character in _TURNING
        else character
        for character in text
    )


def well_formed(text: str) -> str:
    """The text with an escape, such as ``\\udce9``, for each byte of a file's name that is no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def first_names(names: Iterable[Any], count: int = 4, separator: str = ", ") -> str:
    """The first ``count`` names, and how many more there are: "a, b, c, d and 2 more"."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - count} more" if len(shown) > count else ""
    return separator.join(shown[:count]) + more


def file_name(text: str) -> str:
    """A name for a file after a text: the text itself where every system takes it, else its plain part and a digest.

    Texts that differ have names that differ, also where only characters differ that no file's name may hold.
    """
    plain = re.sub(r"[^A-Za-z0-9._+=-]", "_", text)
    if plain == text and len(text) <= LONGEST and not text.startswith("."):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{plain[:LONGEST].lstrip('.')}-{digest}"
