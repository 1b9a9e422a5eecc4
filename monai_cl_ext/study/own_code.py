# SPDX-License-Identifier: Apache-2.0
"""Code that lies in a bundle's own folder, such as ``scripts/`` of the bundles of MONAI's model zoo."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_code(folder: Path) -> Iterator[None]:
    """Lets a config name what is in its bundle's folder, ``scripts.my_method.MyMethod``, and forgets it at the end.

    MONAI puts the folder on Python's path too, but only once a workflow runs, and leaves it there: the next bundle in
    the same process would be given the ``scripts`` of the first.

    Args:
        folder: of the bundle.
    """
    folder = folder.resolve()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # the folder may have been written a moment ago
    try:
        yield
    finally:
        sys.path[:] = [place for place in sys.path if place != str(folder)]
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "").is_relative_to(folder):
                del sys.modules[name]
