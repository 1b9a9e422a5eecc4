# SPDX-License-Identifier: Apache-2.0
"""Packages that only some of this one needs, and the extra that installs them."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def need(user: str, extra: str, *modules: str) -> None:
    """Raises an ImportError that says what to install, unless all modules can be found; nothing is imported.

    Args:
        user: who needs them: the file, the room or the class.
        extra: of this package, that brings them.
        modules: top-level names.
    """
    missing = [module for module in modules if not found(module)]
    if missing:
        raise ImportError(f"{user}: needs {', '.join(missing)}: pip install 'monai-cl-ext[{extra}]'")


def found(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except ImportError:
        return False
