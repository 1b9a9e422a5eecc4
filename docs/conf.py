# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

from __future__ import annotations

import re
from typing import Any

import monai_cl_ext

project = "monai_cl_ext"
author = copyright = "The monai_cl_ext developers"
version = release = monai_cl_ext.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
highlight_language = "text"

myst_heading_anchors = 3

autodoc_default_options = {"members": True, "special-members": "__call__, __len__, __getitem__, __iter__"}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 72
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"monai_cl_ext {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]

LITERAL_OR_STAR = re.compile(r"(``.*?``|`.*?`)|\*(?=\w)", flags=re.DOTALL)


def plain_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The star of a shape such as (B, C, *S) is no emphasis, and what stands before a colon is no type."""
    text = LITERAL_OR_STAR.sub(lambda found: found.group(1) or r"\*", "\n".join(lines))
    lines[:] = (text.replace(": ", ":\n", 1) if what == "data" else text).split("\n")


def setup(app: Any) -> None:
    """Before napoleon, which reads the docstring's sections at priority 500."""
    app.connect("autodoc-process-docstring", plain_text, priority=400)
