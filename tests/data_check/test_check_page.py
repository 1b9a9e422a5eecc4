# SPDX-License-Identifier: Apache-2.0
"""The check as a user meets it: exit status, text, page, and names that are odd."""

import json
import re
import sys
from pathlib import Path

import command_line
import numpy as np
import pytest
from bad_folders import BAD, COUNT, image_of, save, volume, write_folder
from odd_names import ODD
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "visualize"))
from figure_checks import check_room
from report_pages import Page

from monai_cl_ext.data_check.check import check_folder
from monai_cl_ext.data_check.report import LISTED, as_text, write_check
from monai_cl_ext.names import visible


def run(monkeypatch, *arguments):
    return command_line.run(monkeypatch, "check", *arguments)


def test_good_data_end_in_status_0(monkeypatch, tmp_path, capsys):
    write_folder(tmp_path / "data")
    assert run(monkeypatch, tmp_path / "data", "--output", tmp_path / "out") == 0
    text = capsys.readouterr().out
    for said in ("8 volumes of 8 patients, 8 with a label; all can be read", "image_size [32, 32]: holds", "lesion",
                 "Training can start.", f"page written to {tmp_path / 'out' / 'check.html'}"):  # fmt: skip
        assert said in text, said
    assert json.loads((tmp_path / "out" / "check.json").read_text())["can_start"] is True


def test_warnings_end_in_status_0_and_errors_in_1(monkeypatch, tmp_path, capsys):
    folder = write_folder(tmp_path / "data")
    save(np.full((24, 20, 8), 7, np.int16), image_of(folder, "p01"))
    assert run(monkeypatch, folder, "--output", tmp_path / "out") == 0
    assert "warning: " in capsys.readouterr().out
    image_of(folder).write_bytes(b"no volume")
    status = run(monkeypatch, folder, "--output", tmp_path / "out")
    assert isinstance(status, str) and "1 error(s)" in status and "cannot start" in status and "\n" not in status
    shown = capsys.readouterr().out
    assert f"error: {image_of(folder)}: expected a compressed NIfTI file" in shown and "Training cannot start" in shown
    content = json.loads((tmp_path / "out" / "check.json").read_text())
    assert content["can_start"] is False and [row["level"] for row in content["findings"]][:2] == ["error", "warning"]
    assert content["cases"][3]["volume"] is None and content["cases"][0]["volume"]["shape"] == [24, 20, 8]


@pytest.mark.parametrize(
    "options, message",
    [(["absent"], "absent"), ([".", "--slice_axis=4"], "slice_axis must be"), ([".", "--workers=0"], "workers must be"),
     ([".", "--num_classes=0"], "num_classes must be"), ([".", "--label_dir=none"], "label_dir none")],
)  # fmt: skip
def test_mistakes_end_in_one_line_and_write_no_page(options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status = run(monkeypatch, *options)
    assert isinstance(status, str) and message in status and "\n" not in status and not (tmp_path / "runs").exists()


def test_layout_options_find_the_labels_and_stand_in_the_command_of_the_page(monkeypatch, tmp_path, capsys):
    folder = write_folder(tmp_path / "data")
    options = ["--label_dir", folder / "labelsTr", "--output", tmp_path / "out", "--patient_pattern", r"p(\d)"]
    status = run(monkeypatch, folder / "imagesTr", *options)
    assert "8 with a label" in capsys.readouterr().out and "leave no patient" not in str(status)
    assert f"--cases#label_dir '{folder / 'labelsTr'}'" in Page((tmp_path / "out" / "check.html").read_text()).text


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoiled")
    folder = write_folder(root / "data", count=14)
    for number in range(10):
        save(np.full((24, 20, 8), 7, np.int16), image_of(folder, f"p{number:02}"))
    image_of(folder, "p12").write_bytes(b"no volume")
    checked = check_folder(folder)
    return checked, write_check(checked, root / "out")


def test_the_page_has_every_section_and_refers_to_nothing_outside(spoiled):
    checked, path = spoiled
    text = path.read_text()
    page = Page(text)
    assert page.sections == ["findings", "card", "slices", "settings", "cases"]
    assert all(value.startswith(("data:image/", "#")) for value in page.references)
    assert "@import" not in text and "url(" not in text and not re.search(r"https?://", text)
    findings, volumes, classes, settings = (
        next(table for table in page.tables if table[0][0] == head) for head in ("level", "", "class", "id")
    )
    assert [row[1] for row in findings[1:]] == [finding.message for finding in checked.findings]
    assert volumes[1][:2] == ["shape (voxels)", "24 x 20 x 8"] and classes[2][1:4] == ["lesion", "13", "13"]
    assert [row[0] for row in settings[1:]] == ["num_classes", "slice_axis", "pixdim", "image_size", "", ""]
    assert [row[1][:10] for row in settings[-2:]] == ["image_size"] * 2
    assert len(page.tables[-1]) == 1 + 14
    check_room(checked.drawing)


def test_the_terminal_lists_the_first_of_many(spoiled):
    text = as_text(spoiled[0])
    assert text.count("warning: ") == LISTED and "more, in check.html" in text


def test_odd_names_are_shown_as_they_are(tmp_path):
    names = [name for name in ODD if "/" not in name and name not in ("..",) and len(name) < 200]
    for number, name in enumerate(names):
        (tmp_path / "data" / name).mkdir(parents=True)
        save(volume(number), tmp_path / "data" / name / "v.nii.gz")
        (tmp_path / "data" / name / "v.nii.gz").rename(tmp_path / "data" / f"{name}_.nii.gz")
        (tmp_path / "data" / name).rmdir()
    (tmp_path / "data" / f"{names[0]}_.nii.gz").write_bytes(b"no volume")
    (tmp_path / "data" / "<script>alert(1)<x>_.nii.gz").write_bytes(b"no volume")
    checked = check_folder(tmp_path / "data")
    path = write_check(checked, tmp_path / "out")
    page = Page(path.read_text())
    assert "<script>alert(1)" not in path.read_text().replace("&lt;", "")
    shown = [row[0] for row in page.tables[-1][1:]]
    assert shown == [visible(one.image) for one in checked.cases] and len(shown) == len(names) + 1
    assert as_text(checked).replace("\n", "").isprintable()


def test_a_page_of_photographs_has_its_sections_and_shows_odd_classes(tmp_path):
    generator = np.random.default_rng(0)
    names = ["<script>alert(1)<x>", "$x", "two\nlines"]
    for name in names:
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    checked = check_folder(tmp_path / "data")
    path = write_check(checked, tmp_path / "out")
    page = Page(path.read_text())
    assert page.sections == ["findings", "card", "cases"] and not checked.findings
    assert sorted(page.tables[0][1:]) == sorted([visible(name), "4", "4"] for name in names)
    assert not (tmp_path / "out" / "check_settings.json").exists() and "12 pictures of 12 patients" in page.text


def test_a_case_that_went_away_is_no_picture(tmp_path):
    folder = write_folder(tmp_path / "data", count=COUNT)
    image_of(folder, BAD).write_bytes(b"no volume")
    assert check_folder(folder).drawing is None
