# SPDX-License-Identifier: Apache-2.0
"""Reads the pages of the project: their blocks of code, their commands, what they name in passing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for pattern in ("README.md", "docs/**/*.md", "bundles/*/docs/README.md")
    for page in ROOT.glob(pattern)
    if "_build" not in page.parts
)
KINDS = {"python": "python", "json": "json", "text": "text", "bash": "shell", "": "shell"}
DIRECTIVE = re.compile(r"\{(image|include|toctree|eval-rst)\}")


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        kind: "python", "json", "text" (looked at by nobody) or "shell".
        text: its lines.
        first, last: numbers of its lines in the page, fences included.
        caption: of a json block: the file that it is.
    """

    kind: str
    text: str
    first: int
    last: int
    caption: str = ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order; an indented block is shell.

    Raises:
        ValueError: for a fence of a kind that nothing here checks.
    """
    lines = page.read_text().splitlines()
    found, number = [], 0
    while number < len(lines):
        start = number
        if lines[number].startswith("```"):
            number += 1
            while lines[number] != "```":
                number += 1
            block = _fenced(page, lines[start][3:].strip(), lines[start + 1 : number], start, number)
            found += [block] if block else []
        elif lines[number].startswith("    ") and not lines[number - 1].strip() and not _in_list(lines, number):
            while number + 1 < len(lines) and (lines[number + 1].startswith("    ") or not lines[number + 1].strip()):
                number += 1
            text = "\n".join(line.removeprefix("    ") for line in lines[start : number + 1])
            found.append(Block("shell", text, start, number))
        number += 1
    return found


def _fenced(page: Path, info: str, lines: list[str], first: int, last: int) -> Block | None:
    if DIRECTIVE.match(info):
        return None
    options = {}
    if info.startswith("{code-block}"):
        info = info.removeprefix("{code-block}").strip()
        while lines and (option := re.match(r":(\w+): (.*)", lines[0])):
            options[option[1]] = option[2]
            lines = lines[1:]
    if info not in KINDS:
        raise ValueError(f"{page}:{first + 1}: a block of kind {info!r}, which no test checks; use {sorted(KINDS)}")
    return Block(KINDS[info], "\n".join(lines), first, last, options.get("caption", ""))


def _in_list(lines: list[str], number: int) -> bool:
    before = next((line for line in reversed(lines[:number]) if line.strip() and not line.startswith("  ")), "")
    return before.startswith(("- ", "* ", "1. "))


def commands(page: Path) -> list[str]:
    """The command lines of a page's shell blocks, continued lines joined, comments left out."""
    text = "\n".join(block.text for block in blocks(page) if block.kind == "shell")
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


def inline(page: Path) -> list[str]:
    """What stands between single backticks."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
