# SPDX-License-Identifier: Apache-2.0
"""Tables of pictures as spreadsheets save them, and what is wrong in them."""

import warnings

import pytest

from monai_cl_ext.data import classes_of, find_pictures

CLASSES = ("glaucoma", "normal")
ROWS = [["image", "label", "patient"], *([f"{n}.png", CLASSES[n % 2], f"Böhm{n // 2}"] for n in range(4))]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in, ner").mkdir()
    for name in ("0.png", "1.png", "2.png", "3.png", "in, ner/4.png"):
        (tmp_path / name).touch()
    return tmp_path


def table(rows=ROWS, comma=",", end="\n"):
    return end.join(comma.join(row) for row in rows) + end


def read(folder, text, columns=None, encoding="utf-8"):
    """The cases of a table of that text."""
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return find_pictures(folder, columns=columns)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("comma", [",", ";", "\t", "|", ", ", " ; "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_every_encoding_and_delimiter_gives_the_same_cases(encoding, comma, end, folder):
    cases = read(folder, table(comma=comma, end=end), encoding=encoding)
    assert classes_of(cases) == ["glaucoma", "normal"]
    assert [case["patient"] for case in cases] == ["Böhm0", "Böhm0", "Böhm1", "Böhm1"]
    assert [case["class"] for case in cases] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "text",
    [table() + ",,\n , ,\n\n", table([[f" {cell} " for cell in row] for row in ROWS]),
     table().replace("image", "Image"), table().replace("0.png", ".\\0.png"),
     table([[f'"{cell}"' for cell in row] for row in ROWS], ";"),
     "sep=;\n" + table(comma=";"), table([[*row, "x\ty,z|"] for row in ROWS], ";"), table().replace("\n", ",,\n"),
     table([[*row, '"two\nlines, and ""quotes"""' if row is not ROWS[0] else "note"] for row in ROWS])],
)  # fmt: skip
def test_what_spreadsheets_add_changes_nothing(text, folder):
    expected = read(folder, table())
    assert read(folder, text) == expected and len(expected) == 4


def test_paths_hold_delimiters_and_lead_elsewhere(folder):
    cases = read(folder / "in, ner", 'image,patient\n"../in, ner/4.png",p1\n..\\0.png,p2\n')
    assert [case["patient"] for case in cases] == ["p2", "p1"]


@pytest.mark.parametrize(
    "text, columns, message",
    [(table(), {"patient": "Patient_ID"}, "expected the column 'Patient_ID', found image, label, patient"),
     (table(), {"label": "grade"}, "expected the column 'grade', found image"),
     (table(), {"patients": "patient"}, "columns: expected names for image, label, patient, found one for 'patients'"),
     (table().replace("patient\n", "label\n"), None, "found two columns 'label'"),
     (table() + "3.png,normal\n", None, "line 6 has 2 cell.* for the 3 column"),
     ("sep=,\n" + table() + "3.png,normal\n", None, "line 7 has 2 cell"),
     (table() + "3.png,normal,p,q\n", None, "line 6 has 4 cell"),
     (table() + '3.png,"normal,p\n', None, "line 6 cannot be read as CSV"),
     (table() + ",normal,p\n", None, "line 6 names no picture"),
     (table() + "0.png,normal,Böhm0\n", None, "lines 2 and 6 both name '0.png'.*'glaucoma' of 'Böhm0' and 'normal'"),
     (table() + "./0.png,glaucoma,Böhm7\n", None, "lines 2 and 6 both name"),
     (table().replace("glaucoma", "Glaucoma ", 1), None, "'Glaucoma' and 'glaucoma' differ in capitals"),
     (table().replace("glaucoma", "glau  coma", 1), None, "'glau  coma' and 'glaucoma' differ"),
     ("PK\x03\x04" + table(), None, "a workbook.*save the sheet as CSV"), ("", None, "expected the column 'image'"),
     (table() + "\0", None, "not readable as text")],
)  # fmt: skip
def test_what_is_wrong_is_named(text, columns, message, folder):
    with pytest.raises(ValueError, match=f"{'' if message.startswith('columns') else r'labels.csv: .*'}{message}"):
        read(folder, text, columns)


@pytest.mark.parametrize(
    "text, message",
    [(table() + "0.png,glaucoma,Böhm0\n", r"1 line\(s\) repeat a picture and are left out: 6"),
     (table().replace(",Böhm0", ",", 1), r"1 row\(s\) have nothing in the column 'patient'"),
     (table().replace("patient", "Patient-ID"), "if 'Patient-ID' holds the patients"),
     (table().replace("patient", "subject"), "columns={'patient': 'subject'}")],
)  # fmt: skip
def test_what_is_doubtful_is_warned_of_once(text, message, folder):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert len(read(folder, text)) == 4
    assert len(seen) == 1
    with pytest.warns(UserWarning, match=f"labels.csv: .*{message}"):
        read(folder, text)


def test_pictures_of_two_eyes_without_patients_are_warned_of(tmp_path):
    for name in ("a/1_left.png", "b/1_right.png", ".c/2.png", "b/.2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"2 patients look like 1, such as '1_left' and '1_right'.*labels\.csv"):
        assert len(find_pictures(tmp_path)) == 2
    with pytest.warns(UserWarning, match="2 patients look like 1.*give the table a column of patients"):
        read(tmp_path, "image\na/1_left.png\nb/1_right.png\n")


def test_classes_of_folders_that_differ_in_capitals_are_refused(tmp_path):
    for name in ("Normal", "normal"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
    with pytest.raises(ValueError, match="'Normal' and 'normal' differ in capitals"):
        find_pictures(tmp_path)
