# SPDX-License-Identifier: Apache-2.0
"""Keeps prepared volumes on disk."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from monai_cl_ext.data.file_names import case_files, image_file
from monai_cl_ext.data.keeper import Facts
from monai_cl_ext.data.store.arrays import StoredArrays
from monai_cl_ext.data.store.content import case_content
from monai_cl_ext.data.store.entry import Entry, has_maps, read_entry, write_entry, write_map
from monai_cl_ext.data.store.folder import FILES, KEY_DIGITS, LOCKS, SETTINGS, VOLUME, refused, store_folder
from monai_cl_ext.data.store.settings import described, settings_key
from monai_cl_ext.data.superpixel_maps import SuperpixelMaps
from monai_cl_ext.data.told import heard
from monai_cl_ext.data.volume import Transform, read_volume
from monai_cl_ext.files import write_text


class Store:
    """Prepares volumes into a folder, and finds there what was prepared before by whichever process.

    A volume is known by the content of its files and by how it is prepared: a changed file, setting or version gives
    another entry. Of two processes that want the same volume one prepares it, and the other waits for it. With a label
    it is another entry than without, whose image is the same file where it is the same.

    Args:
        folder: of the store, made when missing.
        transform, slice_axis: as in :func:`read_volume`.
        superpixels: makes their maps, or None.

    Raises:
        ValueError: when it cannot be told what the transform does.
        OSError: when the folder cannot be made.
    """

    def __init__(
        self, folder: str | Path, transform: Transform, slice_axis: int, superpixels: SuperpixelMaps | None
    ) -> None:
        self.store = store_folder(folder)
        self.transform, self.slice_axis, self.superpixels = transform, slice_axis, superpixels
        description = described([transform, slice_axis])
        self.folder = self.store / settings_key(description)
        self.map_file = "" if superpixels is None else f"superpixel_{settings_key(described(superpixels))}.npy"
        self.kept: dict[int, tuple[str, tuple[int, ...]]] = {}
        with self._writing():
            for folder_ in (self.folder, self.store / FILES, self.store / LOCKS):
                folder_.mkdir(exist_ok=True)
        self.with_label = {name[:KEY_DIGITS]: name for name in os.listdir(self.folder) if len(name) == 2 * KEY_DIGITS}
        self._remove_leftovers()
        if not (self.folder / SETTINGS).is_file():
            with self._locked(SETTINGS), self._writing():
                write_text(self.folder / SETTINGS, json.dumps(description, indent=1))
        with suppress(OSError):  # it was used now
            os.utime(self.folder / SETTINGS)

    def keep(self, place: int, case: Mapping[str, Any]) -> Facts:
        """Prepares the volume of a case, unless the store has it."""
        content = case_content(case, self.store / FILES)
        folder = self.folder / content
        entry = read_entry(folder, case_files(case))
        if entry is None or not self._has_maps(folder, entry):
            with self._locked(content):  # by now another process may have prepared it
                entry = read_entry(folder, case_files(case)) or self._prepare(folder, case)
                if not self._has_maps(folder, entry):
                    self._make_maps(folder, image_file(case))
        with suppress(OSError):  # it was used now
            os.utime(folder / VOLUME)
        self.kept[place] = content, entry.facts.shape
        return entry.facts

    def arrays(self, places: Sequence[int]) -> StoredArrays:
        """The arrays of the volumes at these places, counted from 0."""
        contents, shapes = zip(*(self.kept[place] for place in places), strict=True)
        return StoredArrays(self.folder, contents, np.array(shapes), self.map_file)

    def _prepare(self, folder: Path, case: Mapping[str, Any]) -> Entry:
        with heard() as told:
            volume = read_volume(case, self.transform, self.slice_axis)
        with self._writing():
            if folder.exists():
                _warn_of_damage(folder)
                shutil.rmtree(folder)
            image = folder.name[:KEY_DIGITS]
            others = {self.folder / image, self.folder / self.with_label.get(image, image)}
            return write_entry(folder, volume, case, told, others)

    def _has_maps(self, folder: Path, entry: Entry) -> bool:
        return self.superpixels is None or entry.facts.constant or has_maps(folder / self.map_file, entry.facts)

    def _make_maps(self, folder: Path, file: str) -> None:
        assert self.superpixels is not None
        image = torch.from_numpy(np.load(folder / "image.npy"))
        maps = self.superpixels(image, file)
        with self._writing():
            if (folder / self.map_file).exists():
                _warn_of_damage(folder / self.map_file)
            write_map(folder / self.map_file, maps)

    def _remove_leftovers(self) -> None:
        """Removes what killed processes left; whoever is writing holds a lock, on this machine or on another."""
        for path in self.folder.glob(".*"):
            with suppress(OSError), self._lock(path.name[1:]).acquire(timeout=0):
                shutil.rmtree(path)

    def _lock(self, name: str) -> FileLock:
        """Of what is written to the folder of the settings under a name; some names share one."""
        return FileLock(self.store / LOCKS / f"{self.folder.name}_{name[:2]}")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keeps other processes and threads from writing under the name meanwhile."""
        with self._writing():
            lock = self._lock(name)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Tells of the store in errors of the disk."""
        try:
            yield
        except OSError as error:
            raise refused(error, self.store) from error


def _warn_of_damage(path: Path) -> None:
    warnings.warn(f"{path}: a damaged entry of the store is made anew; check the disk", stacklevel=3)
