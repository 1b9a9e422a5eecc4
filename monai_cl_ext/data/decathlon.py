# SPDX-License-Identifier: Apache-2.0
"""Reads dataset.json, by which the Medical Segmentation Decathlon lays out a data set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

DESCRIPTION = "dataset.json"
LISTS = ("training", "test")


def description_of(folder: Path) -> Path | None:
    """The ``dataset.json`` of a folder, or None where it has none.

    Raises:
        ValueError: when something of that name is no file.
    """
    path = folder / DESCRIPTION
    if os.path.lexists(path) and not path.is_file():
        raise ValueError(f"{path}: expected a file, found a folder or a link to nowhere; restore or remove it")
    return path if path.is_file() else None


def read_description(path: Path) -> dict[str, Any]:
    """The content of a ``dataset.json``.

    Raises:
        ValueError: when it is empty, no text or no JSON, or no dictionary; the message names the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows writes a byte order mark
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        found = "the file is empty" if not path.stat().st_size else f"not readable as JSON ({error})"
        raise ValueError(f"{path}: {found}; repair or remove the file") from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: expected a dictionary with the list "training", found a {type(content).__name__}; repair the '
            "file, or remove it to read the folder as plain volumes"
        )
    return content


def described_cases(path: Path) -> list[dict[str, str]]:
    """``{"image": path, "label"?: path}`` of each entry of a ``dataset.json``, those for training first.

    Raises:
        ValueError: when the file or an entry is malformed; the message shows the entry.
        FileNotFoundError: when a listed file is absent.
    """
    content = read_description(path)
    for name in LISTS:
        if not isinstance(content.get(name, []), list):
            raise ValueError(
                f'{path}: expected as {name!r} a list of {{"image": path, "label": path}}, found '
                f"{_shortened(content[name])}; repair the file, or remove it to read the folder as plain volumes"
            )
    entries = [(name, number, entry) for name in LISTS for number, entry in enumerate(content.get(name, []))]
    if not entries:
        raise ValueError(
            f'{path}: expected a list "training" of {{"image": path, "label": path}}, found none; '
            "repair the file, or remove it to read the folder as plain volumes"
        )
    return [_case(entry, path, f"{name}[{number}]") for name, number, entry in entries]


def _case(entry: Any, description: Path, place: str) -> dict[str, str]:
    named = {"image": entry} if isinstance(entry, str) else entry
    keys = [key for key in ("image", "label") if isinstance(named, dict) and key in named]
    if "image" not in keys or not all(isinstance(named[key], str) and named[key].strip() for key in keys):
        raise ValueError(
            f'{description}: expected {place} to be {{"image": path, "label": path}}, without "label" where there is '
            f"none, or a path; found {_shortened(entry)}; repair that entry"
        )
    case = {}
    for key in keys:
        path = description.parent / named[key]
        if not path.is_file():
            raise FileNotFoundError(f"{path}: listed as {key} in {description}, found no such file; restore it")
        case[key] = str(path)
    return case


def _shortened(value: Any, length: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]} ..."
