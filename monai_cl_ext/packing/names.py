# SPDX-License-Identifier: Apache-2.0
"""Names of patients, volumes and places, which a packed bundle tells nothing of."""

from __future__ import annotations

import copy
import json
import os
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.bundles.build import SOURCE
from monai_cl_ext.data.file_names import case_name
from monai_cl_ext.handlers.run_record import data_facts
from monai_cl_ext.packing.trained_run import TrainedRun

SHORTEST = 4  # characters of a name that is looked for: "1" stands in every file
BEFORE, AFTER = r"(?<![^\W_])(?<!\d\.)", r"(?![^\W_])(?!\.\d)"  # "0.8613" does not tell of a patient 8613
TEXTS = ("", ".json", ".md", ".txt", ".conf")
PLACES = ("dataset_dir", "output_dir", "ckpt_dir", "bundle_root", "table")


def names_of(run: TrainedRun) -> tuple[set[str], str]:
    """Names that a reader of the bundle shall not learn: patients, volumes, folders.

    Returns:
        Those of every stage that ran in the folder and of the whole list of cases, with patients that were held out;
        and why they are not whole, where neither the cases nor their parts can be listed any more, else "".
    """
    cards = [card for record in run.records for card in record["data"].values()]
    lists, reason = _listed(run)
    names = set(_named([*cards, *map(data_facts, lists)]))
    places = [run.config.get(name) for name in PLACES]
    folders = [run.settings["dataset_dir"], *(place for place in places if isinstance(place, str))]
    names |= {str(run.bundle.folder), str(Path.home()), *filter(os.path.isabs, folders)}
    return names, "" if lists else f"the list of cases cannot be read again, so those of the records alone: {reason}"


def _listed(run: TrainedRun) -> tuple[list[list[dict[str, Any]]], str]:
    """The lists of cases that a training had, as far as they can be read again, and why another cannot."""
    places = {"bundle_root": str(run.bundle.folder), "dataset_dir": run.settings["dataset_dir"]}
    parser = ConfigParser({**copy.deepcopy(run.config), **places})
    lists, reason = [], ""
    for name in ("cases", "split"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they were told when it was trained
                found = parser.get_parsed_content(name)
            lists += list(found.values()) if isinstance(found, dict) else [found]
        except Exception as error:  # data that were moved, or whatever an expression meets without them
            reason = str(error.__cause__ or error).splitlines()[0]
    return lists, reason


def _named(cards: list[dict[str, Any]]) -> Iterator[str]:
    """Patients and volumes of these cards; of whole paths, which stand where names repeat, file and folder."""
    for card in cards:
        for name in (*card["patient_of_volume"], *card.get("volume_names", [])):
            if os.path.isabs(name):
                yield from (case_name(name), os.path.dirname(name))
            else:
                yield name


def refuse_names(folder: Path, names: Collection[str]) -> str:
    """Refuses a bundle that holds one of these names: in its texts, and of folders in its weights too.

    A name that stands in the bundles of this package as well, such as "image" or "2015", is a word like others, and
    not looked for; nor is one of fewer than four characters.

    Args:
        folder: of the bundle.
        names: of patients, volumes and folders.

    Returns:
        What was looked for, in a line.

    Raises:
        ValueError: names the file and what stands in it, or a file that is no text.
    """
    every = sorted(set(names), key=lambda name: (-len(name), name))
    left_out = [name for name in every if len(name) < SHORTEST or _stands_in(name, _own_words())]
    looked_for = [name for name in every if name not in left_out]
    folders = [name for name in looked_for if os.path.isabs(name)]
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = file.relative_to(folder)
        if place.parts[0] == "models":
            found = [name for content in _contents(file) for name in folders if os.fsencode(name) in content]
        else:
            text = _text(file, frozenset(every))
            found = [name for name in looked_for if _stands_in(name, text)]
        if found:
            raise ValueError(
                f"{place} would hold {found[0]!r}, a name of the data or a place of the training; remove it from the "
                "bundle's own files and from eval/config_train.json, which has the options of the training, and pack "
                "again"
            )
    words = f"; not looked for, as they are short or words of every bundle: {', '.join(sorted(left_out))}"
    return f"names: {len(looked_for)} of patients, volumes and folders looked for, none found" + words * bool(left_out)


def _stands_in(name: str, text: str) -> bool:
    """Whether a text has a name by itself: with no letter or digit beside it."""
    return name in text and re.search(f"{BEFORE}{re.escape(name)}{AFTER}", text) is not None


def _text(file: Path, names: frozenset[str] = frozenset()) -> str:
    """What a file says: of JSON its strings, since a number is a setting, and lists of nothing but names in numbers."""
    try:
        text = file.read_text(encoding="utf-8")
        return "\n".join(_strings(json.loads(text), names)) if file.suffix == ".json" else text
    except ValueError as error:
        raise ValueError(
            f"{file.parent.name}/{file.name}: expected text, or JSON by its name, that names are searched in; found "
            f"other bytes ({error}); mend it or remove it from the bundle, and pack again"
        ) from error


def _strings(value: Any, names: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        numbers = {str(item) for item in value}
        if len(numbers) > 1 and numbers <= names:  # [1024, 1024] is a size
            yield from numbers
        for item in value:
            yield from _strings(item, names)
    elif isinstance(value, str):
        yield value


def _contents(file: Path) -> Iterator[bytes]:
    """The bytes of a file of weights; of an archive, whose members may be compressed, those of each."""
    if not zipfile.is_zipfile(file):
        yield file.read_bytes()
        return
    with zipfile.ZipFile(file) as archive:
        yield from map(archive.read, archive.namelist())


@cache
def _own_words() -> str:
    """Every line of the bundles of this package, once."""
    files = [file for file in SOURCE.parent.rglob("*") if file.suffix in TEXTS and file.is_file()]
    return "\n".join({line for file in files for line in _text(file).splitlines()})
