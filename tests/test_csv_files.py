# SPDX-License-Identifier: Apache-2.0
"""Texts in CSV files are data: read back as they were, and no formulas."""

import csv
import math

import pandas as pd
import pytest
from odd_names import ODD

from monai_cl_ext.csv_files import escaped, read_rows, read_table, unescaped, write_rows, write_table
from monai_cl_ext.names import well_formed

NAMES = [well_formed(name) for name in (*ODD, "", " =1", "'", "''@x", "＝1", "a\x00b", "inf", "nan", "True", "\r=1")]
NUMBERS = [-1.5, -3, 0.1 + 0.2, 1e-300, True]


def test_rows_come_back_as_they_were(tmp_path):
    rows = [(name, *NUMBERS) for name in NAMES]
    write_rows(tmp_path / "new" / "rows.csv", [("name", *map(str, range(5))), *rows])
    found = read_rows(tmp_path / "new" / "rows.csv")
    assert [row.pop("name") for row in found] == NAMES
    assert {tuple(row.values()) for row in found} == {("-1.5", "-3", "0.30000000000000004", "1e-300", "True")}


@pytest.mark.parametrize("write", [write_rows, write_table])
def test_both_writers_write_what_both_readers_read(write, tmp_path):
    path, rows = tmp_path / "table.csv", [(name, -0.25) for name in NAMES]
    table = pd.DataFrame(rows, columns=["name", "value"])
    write(path, table if write is write_table else [("name", "value"), *rows])
    pd.testing.assert_frame_equal(read_table(path, dtype={"name": str}), table, check_dtype=False)
    assert [row["name"] for row in read_rows(path)] == NAMES


def test_missing_values_and_names_of_columns_come_back(tmp_path):
    heads = [name for name in NAMES if name]
    table = pd.DataFrame([[math.nan, *("-1" for _ in heads)]], columns=["value", *heads])
    write_table(tmp_path / "table.csv", table)
    found = read_table(tmp_path / "table.csv", dtype=dict.fromkeys(map(escaped, heads), str), na_values={"value": [""]})
    assert list(found) == list(table) and math.isnan(found["value"][0])
    assert set(found[heads].iloc[0]) == {"-1"}


@pytest.mark.parametrize("write", [write_rows, write_table])
def test_no_text_is_a_formula_and_numbers_stay_numbers(write, tmp_path):
    path, rows = tmp_path / "table.csv", [(name, -1.5) for name in NAMES]
    write(path, pd.DataFrame(rows, columns=["=name", "value"]) if write is write_table else [("=name", "value"), *rows])
    with path.open(newline="", encoding="utf-8") as file:
        head, *cells = csv.reader(file)
    assert head == ["'=name", "value"] and {value for _, value in cells} == {"-1.5"}
    for (cell, _), name in zip(cells, NAMES, strict=True):
        assert not cell.strip(" ").startswith(tuple("=+-@\t\r\n＝")), cell
        assert cell in (name, f"'{name}"), cell


def test_what_is_escaped_once_or_twice_is_told_apart():
    for name in NAMES:
        twice = escaped(escaped(name))
        assert unescaped(twice) == escaped(name) and unescaped(unescaped(twice)) == name
    assert len({escaped(name) for name in NAMES}) == len(NAMES)
    assert escaped(-1) == -1 and escaped(None) is None and escaped("it's") == "it's"


def test_an_empty_file_has_no_rows(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    assert read_rows(tmp_path / "empty.csv") == []
