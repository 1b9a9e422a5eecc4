# SPDX-License-Identifier: Apache-2.0
"""The bundles of an installed package as folders: in the user's cache, or as copies to work in."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_cl_ext.bundles.build import METADATA, SOURCE, TRAINED, build_bundle, bundle_files, trained_names


def shared_overlay(name: str) -> Path:
    """The file of an overlay that serves many bundles; metadata.json of a bundle names those that serve it."""
    return SOURCE / "overlays" / f"{name}.json"


def metadata_of(name: str) -> dict[str, Any]:
    """metadata.json of a bundle of the package; raises as :func:`build_bundle`."""
    trained = TRAINED / name / METADATA
    text = trained.read_text(encoding="utf-8") if name in trained_names() else bundle_files(name)[METADATA]
    metadata: dict[str, Any] = json.loads(text)
    return metadata


def installed_bundle(name: str) -> Path:
    """A bundle's folder in the user's cache, built where something of it is missing or changed.

    The cache is ``monai_cl_ext`` in XDG_CACHE_HOME (~/.cache), or in the temporary files where that cannot be written.
    The folder's name holds a digest of the bundle, so versions of the package do not share it. Any number of processes
    may ask at once: all write the same files, each atomically.

    Raises:
        FileNotFoundError: when the package has no such bundle.
        OSError: when no folder can be written.
    """
    files = bundle_files(name)
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
    cache, temporary = (place / "bundles" / digest / name for place in _places())
    for folder in (cache, temporary):
        if all(_holds(folder / path, text) for path, text in files.items()):
            return folder
    try:
        return build_bundle(name, cache.parent)
    except OSError:  # a home that cannot be written, or is full
        return build_bundle(name, temporary.parent)


def copy_bundle(name: str, output: str | Path, overlays: Sequence[str] = ()) -> Path:
    """Writes a bundle to ``output/name``, with overlays that serve many bundles as files beside its stages.

    One that comes with weights is copied with them.

    Raises:
        FileExistsError: when there is something already.
        FileNotFoundError: when the package has no such bundle, or the bundle no such overlay; lists what there is.
    """
    folder, served = Path(output) / name, metadata_of(name)["overlays"]
    for overlay in overlays:
        if overlay not in served:
            raise FileNotFoundError(f"{name} has no overlay {overlay!r}; it has {', '.join(served)}")
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; give another --output, or remove it")
    if name in trained_names():
        shutil.copytree(TRAINED / name, folder)
    else:
        build_bundle(name, output)
    for overlay in overlays:
        if shared_overlay(overlay).is_file():
            shutil.copy(shared_overlay(overlay), folder / "configs")
    return folder


def _places() -> tuple[Path, Path]:
    """The user's cache, and where it cannot be written."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache, "monai_cl_ext"), Path(tempfile.gettempdir(), f"monai_cl_ext_{getpass.getuser()}")


def _holds(path: Path, text: str) -> bool:
    """Whether a file has this text."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False
