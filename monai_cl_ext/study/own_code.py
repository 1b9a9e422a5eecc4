# SPDX-License-Identifier: Apache-2.0
"""Code that lies in a bundle's own folder, such as ``scripts/`` of the bundles of MONAI's model zoo."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def own_code(folder: Path) -> Iterator[None]:
    """Lets a config name what is in its bundle's folder, ``scripts.my_method.MyMethod``, and forgets it at the end.

    MONAI puts the folder on Python's path too, but only once a workflow runs, and leaves it there: the next bundle in
    the same process would be given the ``scripts`` of the first. Modules of the same names that were imported from
    elsewhere are set aside meanwhile.

    Args:
        folder: of the bundle.
    """
    folder = folder.resolve()
    provided = {path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")}
    hidden = {
        name: module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in provided and not _lies_in(folder, sys.modules.get(name.split(".")[0]))
    }
    for name in hidden:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # the folder may have been written a moment ago
    try:
        yield
    finally:
        for name in [name for name, module in list(sys.modules.items()) if _lies_in(folder, module)]:
            del sys.modules[name]
        sys.path[:] = [place for place in sys.path if place != str(folder)]
        sys.modules.update(hidden)


def _lies_in(folder: Path, module: ModuleType | None) -> bool:
    """Whether a module was imported from the folder; a package may lack an ``__init__.py``, and with it a file."""
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", None) or [])
    return any(Path(place).is_relative_to(folder) for place in places)
