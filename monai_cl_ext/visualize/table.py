# SPDX-License-Identifier: Apache-2.0
"""A table of a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from monai_cl_ext.names import visible

WIDE, LONG = 45, 16  # characters that make a table too wide for a phone, and a cell too long for half of one
FOLDED = 700  # characters of remarks that a page folds


@dataclass
class Table:
    """Cells of text.

    Attributes:
        title: its caption.
        head: names of the columns.
        rows: each of the length of the head.
        note: what is to be known before its cells are read.
        remarks: on single cells.
        best: (row, column) of the cells to stress.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    remarks: list[str] = field(default_factory=list)
    best: set[tuple[int, int]] = field(default_factory=set)

    @property
    def folds_remarks(self) -> bool:
        """Whether the remarks are so long that the page folds them."""
        return sum(map(len, self.remarks)) > FOLDED

    @property
    def layout(self) -> str:
        """How the page sets it.

        "pairs" of a name and a value; "wide" where a phone shows each row as a block, and "wide long" where the block
        has a line for each cell.
        """
        if len(self.head) == 2:
            return "pairs"
        widest = [max(len(row[column]) for row in (self.head, *self.rows)) for column in range(len(self.head))]
        if len(self.head) <= 5 and sum(widest) <= WIDE:
            return ""
        return "wide long" if max(widest[1:]) > LONG else "wide"

    def __str__(self) -> str:
        """The table as text for a terminal."""
        lines = [[visible(cell) for cell in line] for line in (self.head, *self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([visible(self.title), *text])
