# SPDX-License-Identifier: Apache-2.0
"""Text that Markdown and LaTeX show as it stands."""

from __future__ import annotations

import re

from monai_cl_ext.names import visible

_MARKDOWN = re.compile(r"[\\|`*_$~#]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=[(\[:])")
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$"}
    | {"|": r"\textbar{}", "`": r"\textasciigrave{}"}
)
_LIGATURE = re.compile(r"([-',])(?=\1)")


def markdown(text: str) -> str:
    """The text with a backslash before what Markdown, or GitHub's, would take for markup, links or formulas."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def latex(text: str) -> str:
    """The text with LaTeX's commands for its special characters, and without the ligatures of dashes and quotes."""
    return _LIGATURE.sub(r"\1{}", visible(text).translate(_LATEX))


def latex_row(cells: list[str]) -> str:
    """A line of a tabular of cells that are LaTeX; a bracket or star at its beginning is none of the line before."""
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line[0] in "[*" else line
