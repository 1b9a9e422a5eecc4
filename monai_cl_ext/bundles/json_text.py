# SPDX-License-Identifier: Apache-2.0
"""The layout of JSON files of bundles."""

from __future__ import annotations

import json
from typing import Any

WIDTH = 120


def json_text(content: Any) -> str:
    """JSON in which lists and objects that fit stand on one line; the outermost never does."""
    return _laid_out(content, 0, WIDTH + 1) + "\n"


def _laid_out(value: Any, indent: int, used: int) -> str:
    """The value from column ``used`` on, its lines indented by ``indent``."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or used + len(flat) < WIDTH:  # one column is for a comma
        return flat
    inner = indent + 4
    if isinstance(value, dict):
        named = {f"{json.dumps(name, ensure_ascii=False)}: ": item for name, item in value.items()}
        parts = [name + _laid_out(item, inner, inner + len(name)) for name, item in named.items()]
    else:
        parts = [_laid_out(item, inner, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    lines = ",\n".join(" " * inner + part for part in parts)
    return f"{opening}\n{lines}\n{' ' * indent}{closing}"
