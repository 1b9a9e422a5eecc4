# SPDX-License-Identifier: Apache-2.0
"""The documentation builds without a warning, and shows every public name."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import monai_cl_ext

pytest.importorskip("sphinx", reason="the documentation needs pip install .[docs]")

from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(ROOT / "docs"),
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_public_name_is_shown(built):
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    shown = {name for kind in inventory.data if kind.startswith("py:") for name in inventory.data[kind]}
    packages = [module.name for module in pkgutil.iter_modules(monai_cl_ext.__path__) if module.ispkg]
    public = {
        f"monai_cl_ext.{package}.{name}"
        for package in packages
        for module in [importlib.import_module(f"monai_cl_ext.{package}")]
        for name in getattr(module, "__all__", ())
        if getattr(getattr(module, name), "__name__", name) == name  # aliases stand in the text
    }
    assert len(public) > 100
    assert not public - shown


@pytest.mark.slow
def test_pages_fetch_nothing_from_elsewhere(built):
    for page in built.glob("**/*.html"):
        fetched = re.findall(r"<(?:script|img|link)[^>]*?(?:src|href)=\"(https?://[^\"]+)\"", page.read_text())
        assert not fetched, page
