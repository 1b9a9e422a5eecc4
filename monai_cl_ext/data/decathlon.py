# SPDX-License-Identifier: Apache-2.0
"""Reads dataset.json, by which the Medical Segmentation Decathlon and nnU-Net lay out a data set."""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai_cl_ext.data.channels import CHANNEL, Volume, refuse_missing_channels
from monai_cl_ext.data.file_names import case_name, files_of, image_file
from monai_cl_ext.data.nnunet import channels_by_name, is_raw, raw_cases
from monai_cl_ext.names import first_names

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


def described_cases(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """``{"image": path, "label"?: path}`` of each entry of a ``dataset.json`` with its name, those for training first.

    An image of nnU-Net that lies in files of its channels has the list of these. An image that is listed twice comes
    once, with a warning.

    Raises:
        ValueError: when the file or an entry is malformed; the message shows the entry.
        FileNotFoundError: when a listed file is absent.
    """
    content = read_description(path)
    if is_raw(content):
        return raw_cases(path.parent, content, str(path))
    for name in LISTS:
        if not isinstance(content.get(name, []), list):
            raise ValueError(
                f'{path}: expected as {name!r} a list of {{"image": path, "label": path}}, found '
                f"{shortened(content[name])}; repair the file, or remove it to read the folder as plain volumes"
            )
    entries = [(name, number, entry) for name in LISTS for number, entry in enumerate(content.get(name, []))]
    if not entries:
        raise ValueError(
            f'{path}: expected a list "training" of {{"image": path, "label": path}}, found none; '
            "repair the file, or remove it to read the folder as plain volumes"
        )
    listed = functools.cache(channels_by_name)  # each folder is listed once
    cases = [_case(entry, path, f"{name}[{number}]", listed) for name, number, entry in entries]
    channels = [len(case["image"]) for _, case in cases if isinstance(case["image"], list)]
    if channels:
        refuse_missing_channels(
            [Volume(name, list(map(Path, files_of(case["image"])))) for name, case in cases], max(channels)
        )
    return _once(cases, path)


def _case(
    entry: Any, description: Path, place: str, listed: Callable[[Path, str], dict[str, list[Path]]]
) -> tuple[str, dict[str, Any]]:
    named = {"image": entry} if isinstance(entry, str) else entry
    keys = [key for key in ("image", "label") if isinstance(named, dict) and key in named]
    if "image" not in keys or not all(isinstance(named[key], str) and named[key].strip() for key in keys):
        raise ValueError(
            f'{description}: expected {place} to be {{"image": path, "label": path}}, without "label" where there is '
            f"none, or a path; found {shortened(entry)}; repair that entry"
        )
    case: dict[str, Any] = {}
    for key in keys:
        path = description.parent / named[key]
        channels = []
        if key == "image" and not os.path.lexists(path):
            name = case_name(path)
            channels = listed(path.parent, path.name[len(name) :].lower()).get(name, [])
        if not channels and not path.is_file():
            raise FileNotFoundError(f"{path}: listed as {key} in {description}, found no such file; restore it")
        case[key] = Volume("", channels or [path]).image
    if case.get("label") == case["image"]:
        raise ValueError(f"{description}: {place} gives {case['image']} as image and as label; repair that entry")
    name = case_name(named["image"])
    match = CHANNEL.match(name)
    # a channel listed by itself is told from a case of such a name by its label
    return (match[1] if match and match[1] == case_name(named.get("label", "")) else name), case


def _once(cases: list[tuple[str, dict[str, Any]]], description: Path) -> list[tuple[str, dict[str, Any]]]:
    """The cases without those whose image is listed before."""
    kept: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    repeated = []
    for name, case in cases:
        key = tuple(map(os.path.realpath, files_of(case["image"])))
        first = kept.setdefault(key, (name, case))[1]
        if first is case:
            continue
        repeated.append(image_file(case))
        labels = {os.path.realpath(found["label"]) for found in (first, case) if "label" in found}
        if len(labels) > 1:
            raise ValueError(
                f"{description}: lists {repeated[-1]} twice, with the labels {' and '.join(sorted(labels))}; keep one"
            )
        first.update({key: value for key, value in case.items() if key == "label"})
    if repeated:
        warnings.warn(
            f"{description}: {len(repeated)} image(s) are listed twice and taken once: {first_names(repeated)}; list "
            "each once, under training or under test",
            stacklevel=4,
        )
    return list(kept.values())


def shortened(value: Any, length: int = 200) -> str:
    """What a file holds, for an error."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]} ..."
