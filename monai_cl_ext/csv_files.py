# SPDX-License-Identifier: Apache-2.0
"""CSV files whose texts are data: no spreadsheet runs them as formulas, and they are read back as they were."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl_ext.extras import need
from monai_cl_ext.files import write_text
from monai_cl_ext.names import well_formed

if TYPE_CHECKING:
    import pandas as pd

# what a spreadsheet takes for the beginning of a formula, after apostrophes that are part of the text
_FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\r\n])")
_ESCAPED = re.compile(f"'{_FORMULA.pattern}")


def escaped(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula with an apostrophe before it; all else, numbers too, as it is.

    Of file names that are no UTF-8 see :func:`~monai_cl_ext.names.well_formed`.
    """
    if not isinstance(cell, str):
        return cell
    text = well_formed(cell)
    return f"'{text}" if _FORMULA.match(text) else text


def unescaped(cell: Any) -> Any:
    """The text that :func:`escaped` was given; all else as it is."""
    return cell[1:] if isinstance(cell, str) and _ESCAPED.match(cell) else cell


def write_rows(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Writes the rows atomically, texts by :func:`escaped`; makes the folder when missing."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([escaped(cell) for cell in row] for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows below the header by its names, all cells as text, as :func:`write_rows` was given them."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = [[unescaped(cell) for cell in row] for row in csv.reader(file) if row] or [[]]
    return [dict(zip(head, line, strict=False)) for line in lines]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table without its index atomically, names of columns and texts by :func:`escaped`.

    Args:
        path: of the file, in a folder that exists.
        table: whose index is left out.
    """
    # csv quotes a carriage return only where the lines end with one
    text = table.map(escaped).rename(columns=escaped).to_csv(index=False, lineterminator="\r\n")
    write_text(path, text)


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Reads a table as :func:`write_table` was given it; no text, such as "NA" or "None", stands for a missing value.

    Args:
        path: of the file.
        options: of ``pandas.read_csv``, such as ``dtype=str``, which keeps the patient 001 from becoming the number 1.
    """
    need(str(path), "study", "pandas")
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=False, **options).rename(columns=unescaped)
    texts = table.select_dtypes(["object", "string"]).columns
    return table.assign(**{name: table[name].map(unescaped) for name in texts})
