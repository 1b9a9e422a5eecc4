# SPDX-License-Identifier: Apache-2.0
"""Reads CSV files as spreadsheets save them: their encodings, delimiters and blanks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

DELIMITERS = (",", ";", "\t", "|")
MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .ods, and .xls, begin


def columns_and_rows(path: Path, column: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The columns of a CSV file, and each row with the number of its line, cells without blanks around them.

    UTF-8, UTF-16, UTF-32 and else Windows' cp1252 are read; commas, semicolons, tabs and bars part cells.

    Args:
        path: of the file.
        column: one of its columns; the delimiter that gives a column of that name, in any letters, parts the cells.

    Raises:
        ValueError: when the file is no such text, two columns have one name, or a row has not a cell for each column.
    """
    text = _text(path)
    first, _, rest = text.partition("\n")
    told = first.strip("\r")[4:] if first.lower().startswith("sep=") else ""  # a spreadsheet names its delimiter so
    text = rest if told else text
    heads = {delimiter: _head(text, delimiter) for delimiter in (told or DELIMITERS)}
    best = max(heads, key=lambda delimiter: (column.lower() in map(str.lower, heads[delimiter]), len(heads[delimiter])))
    rows = _rows(path, text, best, 1 + bool(told))
    head = next(rows, (0, [""]))[1]
    twice = [name for name in head if name and head.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: found two columns {twice[0]!r}; rename or remove one")
    found = []
    for line, cells in rows:
        if not any(cells):
            continue
        if len(cells) < len(head) or any(cells[len(head) :]):
            raise ValueError(
                f"{path}: line {line} has {len(cells)} cell(s) for the {len(head)} column(s) {', '.join(head)}; repair "
                "the line, and put cells that hold a delimiter between quotes"
            )
        found.append((line, dict(zip(head, cells, strict=False))))
    return head, found


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(WORKBOOKS):
        raise ValueError(f"{path}: a workbook of a spreadsheet, expected a CSV file; save the sheet as CSV")
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:2000]:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    reasons = []
    for name in [encoding] if encoding else ["utf-8-sig", "cp1252"]:
        try:
            text = content.decode(name)
        except UnicodeError as error:
            reasons.append(str(error))
            continue
        if "\0" not in text:
            return text
        reasons.append("it holds null characters")
    raise ValueError(f"{path}: not readable as text ({'; '.join(reasons)}); save the table as CSV in UTF-8")


def _head(text: str, delimiter: str) -> list[str]:
    """The first row, or none where the delimiter does not part its cells: quotes would stand inside of them."""
    try:
        return next(_rows(Path(), text, delimiter, 1), (0, [""]))[1]
    except ValueError:
        return []


def _rows(path: Path, text: str, delimiter: str, line: int) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank with the number of its first line, that of the text's first being ``line``."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    before = line - 1
    try:
        for cells in reader:
            if cells:
                yield line, [cell.strip() for cell in cells]
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}: line {line} cannot be read as CSV ({error}); repair it") from error
