# SPDX-License-Identifier: Apache-2.0
"""Lists what a store holds, and removes what is no longer wanted."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl_ext.data.store.folder import FILES, KEY_DIGITS, LOCKS, SETTINGS, VOLUME

DAY = 24 * 3600


@dataclass(frozen=True)
class Holding:
    """Volumes that were prepared alike.

    Attributes:
        folder: where they lie.
        volumes: their number; with a label and without it is the same one.
        size: bytes on disk that they alone take.
        idle_days: since a dataset was last made of one of them.
        steps: names of the transforms that prepared them.
        shape, spacing: of one of them, (slices, C, H, W) and in the units of the affine.
        place: folder of the files of that one.
    """

    folder: Path
    volumes: int
    size: int
    idle_days: float
    steps: list[str]
    shape: list[int]
    spacing: list[float]
    place: str


def holdings(store: Path) -> list[Holding]:
    """What a store holds, the longest unused first; nothing where there is no store."""
    found = [_holding(path.parent, _entries(path.parent), _idle_days(path)) for path in store.glob(f"*/{SETTINGS}")]
    return sorted(found, key=lambda holding: -holding.idle_days)


def remove(store: Path, names: Collection[str] = (), idle_days: float | None = None) -> list[Holding]:
    """Removes volumes that were prepared alike, by the name of their folder or because nobody has used them for long.

    Args:
        store: the folder.
        names: of folders; all of them have to be there.
        idle_days: removes what no dataset was made of for so many days, also single volumes.

    Returns:
        What was removed.

    Raises:
        ValueError: when the store has no such folder; lists those that it has.
    """
    found = {holding.folder.name: holding for holding in holdings(store)}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(f"store {store}: has no {unknown[0]!r}; it has {', '.join(found) or 'nothing'}")
    removed = []
    for name, holding in found.items():
        whole = name in names or (idle_days is not None and holding.idle_days >= idle_days)
        old = {} if whole or idle_days is None else _unused(holding.folder, idle_days)
        if whole or old:
            removed.append(holding if whole else _holding(holding.folder, list(old), min(old.values())))
        for entry in _entries(holding.folder) if whole else old:
            shutil.rmtree(entry)
        if whole:  # last, since a folder without settings is not listed
            shutil.rmtree(holding.folder)
    if removed and not holdings(store):
        for folder in (FILES, LOCKS):
            shutil.rmtree(store / folder, ignore_errors=True)
    return removed


def _entries(folder: Path) -> list[Path]:
    """The folders of volumes in one of settings, what killed processes left included."""
    return [path for path in folder.iterdir() if path.is_dir()]


def _unused(folder: Path, idle_days: float) -> dict[Path, float]:
    """The volumes that nobody has used for so many days, and for how many."""
    records = ((entry, entry / VOLUME) for entry in _entries(folder))
    found = {entry: _idle_days(record if record.is_file() else entry) for entry, record in records}
    return {entry: days for entry, days in found.items() if days >= idle_days}


def _idle_days(file: Path) -> float:
    return (time.time() - file.stat().st_mtime) / DAY


def _holding(folder: Path, entries: Sequence[Path], idle_days: float) -> Holding:
    volumes = [entry for entry in entries if (entry / VOLUME).is_file()]
    one: dict[str, Any] = {}
    with suppress(OSError, ValueError, IndexError):
        one = json.loads((volumes[0] / VOLUME).read_text(encoding="utf-8"))
    files = one.get("files") or [""]
    return Holding(
        folder,
        len({entry.name[:KEY_DIGITS] for entry in volumes}),
        _size(entries),
        idle_days,
        _steps(folder / SETTINGS),
        one.get("shape", []),
        one.get("spacing", []),
        str(Path(files[0]).parent),
    )


def _size(entries: Sequence[Path]) -> int:
    """Bytes of the files that lie in these folders alone; entries of one image share its file."""
    found = [file.stat() for entry in entries for file in entry.iterdir()]
    names = Counter(status.st_ino for status in found)
    own = {status.st_ino: status.st_size for status in found if names[status.st_ino] == status.st_nlink}
    return sum(own.values())


def _steps(file: Path) -> list[str]:
    """Names of the classes of a Compose, as its description has them; of anything else the one name."""
    try:
        transform = json.loads(file.read_text(encoding="utf-8"))["value"][0]
        steps = transform[1].get("transforms") if isinstance(transform, list) else None
        return [str(step[0] if isinstance(step, list) else step).rpartition(".")[2] for step in steps or [transform]]
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        return []
