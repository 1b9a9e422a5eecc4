# SPDX-License-Identifier: Apache-2.0
"""The page that every report is: sections of text, tables and figures in one HTML file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup as Markup

from monai_cl_ext.files import write_text
from monai_cl_ext.names import visible
from monai_cl_ext.visualize.drawing import Drawing
from monai_cl_ext.visualize.table import Table


@dataclass
class Section:
    """One part of the page.

    Attributes:
        anchor: of its link.
        title: its heading.
        text: sentences under the heading.
        tables: shown under the text.
        folded: tables that unfold, at the end.
        groups: heading, which may be empty, and figures that stand together, each with the data URI that shows it.
    """

    anchor: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    folded: list[Table] = field(default_factory=list)
    groups: list[tuple[str, list[tuple[Drawing, str]]]] = field(default_factory=list)


def saved(drawings: Sequence[Drawing], figures: Path) -> list[tuple[Drawing, str]]:
    """Saves drawings as PNG and SVG; gives each with the data URI that shows it, as a section holds them."""
    return [(drawing, drawing.save(figures)) for drawing in drawings]


def write_page(
    path: Path,
    kind: str,
    title: str,
    lead: Sequence[str],
    sections: Sequence[Section],
    notes: Sequence[str] = (),
    versions: str = "",
) -> Path:
    """Writes a page that needs nothing beside itself, all of it or nothing; makes its folder when missing.

    Args:
        path: of the page.
        kind: what is reported on: "run" or "study".
        title: its heading.
        lead: the sentences that a reader sees first.
        sections: in their order.
        notes: sentences under the lead that say how far it holds.
        versions: of what took part, as text.

    Returns:
        The path.
    """
    template = Environment(
        loader=PackageLoader("monai_cl_ext.visualize", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        finalize=_seen,
    ).get_template("report.html.j2")  # fmt: skip
    text = template.render(
        kind=kind,
        title=title,
        lead=lead,
        notes=notes,
        sections=sections,
        versions=versions,
        written=time.strftime("%Y-%m-%d %H:%M"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def _seen(value: object) -> object:
    """What a template puts in: texts as readers see them; what is HTML already stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
