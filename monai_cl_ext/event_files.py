# SPDX-License-Identifier: Apache-2.0
"""Which TensorBoard files of a folder a run has written, whatever the clock says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

EVENT_FILES = "events.out.tfevents.*"
"""Pattern of TensorBoard's files; their names and events tell the time, which may be set back."""


class EventFiles:
    """Names of the TensorBoard files of one run, in the order in which they were begun.

    A run's files are those that are new, grow, or have nothing but their header when it starts: handlers open their
    files before a run starts, and an earlier run's files grow no more. Files that the records of other runs in the
    folder name are theirs.

    Args:
        folder: of the run.
        own: names of the files of the run that this one goes on with.
    """

    def __init__(self, folder: Path, own: Sequence[str] = ()) -> None:
        self.folder = folder
        self.names = list(own)
        self.others = _named_in_records(folder) - set(own)
        self.earlier = {path.name: path.stat().st_size for path in folder.glob(EVENT_FILES) if not _only_header(path)}

    def update(self) -> list[str]:
        """The names so far, with those of the files that have come since the last call."""
        for path in sorted(self.folder.glob(EVENT_FILES)):
            grown = path.stat().st_size != self.earlier.get(path.name)
            if grown and path.name not in self.others and path.name not in self.names:
                self.names.append(path.name)
        return self.names


def _named_in_records(folder: Path) -> set[str]:
    names: set[str] = set()
    for path in folder.glob("run_*.json"):
        try:
            names.update(json.loads(path.read_text(encoding="utf-8"))["event_files"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a record that is damaged or of before its files were named; the report names the damage
    return names


def _only_header(path: Path) -> bool:
    """Whether a file has at most one event, the version of its format: 8 bytes of length, the event, 8 of checksums."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    return path.stat().st_size <= 16 + length
