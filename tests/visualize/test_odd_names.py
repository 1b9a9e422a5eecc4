# SPDX-License-Identifier: Apache-2.0
"""Names are data on every page and figure, whatever they hold."""

import json
import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import fabricated
import pytest
import torch
from figure_checks import check_room
from matplotlib.text import Text
from odd_names import ODD
from report_pages import Page

from monai_cl_ext.csv_files import write_rows
from monai_cl_ext.names import visible
from monai_cl_ext.visualize import draw_curves, draw_overlays, draw_scores, draw_views, find_runs, write_report
from monai_cl_ext.visualize.drawing import drawable, shorten, wrap
from monai_cl_ext.visualize.table import Table

RUNS = ("$x", "%x", r"$\frac{a$", "_hidden", "<b> & =1", "two\nlines")
CLASSES = ("_RV$", "L|V\n<i>")


def write_run(folder: Path, classes=CLASSES, volumes=ODD[:3]) -> Path:
    """A training with its evaluation; every odd name is a patient and a setting."""
    folder.mkdir(parents=True)
    settings = {"seed": 0, "names": list(ODD), **{name: name for name in ODD}}
    card = fabricated.card(list(ODD), slices=3)
    for stage, begun in (("train", 1.0), ("evaluate", 2.0)):
        record = fabricated.record(stage, begun, settings, {"training" if stage == "train" else "validation": card})
        (folder / f"run_{stage}.json").write_text(json.dumps(record))
    fabricated.scalars(folder, train_loss=[2.0, 1.0], **{f"dice_{classes[0]}": [0.1, 0.2]})
    rows = [(volume, label, 0.1 * place, 0.2, 10.0 - place, 1.0, 0)
            for place, volume in enumerate(volumes) for label in classes]  # fmt: skip
    write_rows(folder / "metrics.csv", [("volume", "class", "dice", "jaccard", "hd95", "asd", "missed"), *rows])
    record = fabricated.overlays(3) | {"class_names": list(classes)}
    for item, volume in zip(record["overlays"], volumes, strict=True):
        item["volume"] = volume
    torch.save(record, folder / "overlays.pt")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("odd") / 'runs $y_ "<b>"'
    for name in RUNS:
        write_run(top / name)
    torch.save(fabricated.batch() | {"names": list(ODD[14:20])}, top / RUNS[0] / "batch.pt")
    return top


@pytest.fixture(scope="module")
def page(folder) -> Page:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a name without its picture in the font
        return Page(write_report(folder).read_text(encoding="utf-8"))


def texts(drawing) -> list[str]:
    return [found.get_text() for found in drawing.figure.findobj(Text)]


@pytest.mark.slow
def test_a_page_shows_names_of_runs_patients_volumes_and_classes_as_they_are(folder, page):
    names = {row[0] for table in page.tables for row in table}
    assert {visible(name) for name in RUNS} <= names
    settings = [dict(table[1:]) for table in page.tables if table[0] == ["setting", "value"]]
    assert len(settings) == 2 * len(RUNS)
    for found in settings:
        assert all(found[visible(name)] == visible(name)[:400] for name in ODD)
    scores = next(table for table in page.tables if table[0] == ["run", "volume", "class", "Dice"])
    assert {tuple(row[1:3]) for row in scores[1:]} == {(visible(v), visible(c)) for v in ODD[:3] for c in CLASSES}
    assert visible(folder.name) in page.text
    assert all(value.startswith(("data:image/", "#")) for value in page.references)
    raw = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in raw and "\x1b" not in raw and "<i>" not in raw


def test_the_pair_map_names_odd_patients(folder, page):
    text = (folder / "report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'class="pairs-data">(.*?)</script>', text, flags=re.DOTALL)[1])
    assert {row.split(" · ")[0] for row in data["rows"]} == {visible(name) for name in ODD[14:20]}


def test_every_run_has_its_own_files_and_every_picture_is_whole(folder, page):
    files = sorted(path.name for path in (folder / "figures").iterdir())
    assert len([name for name in files if "overlays" in name]) == 2 * len(RUNS)
    assert len(files) == len({name.lower() for name in files}) == 2 * (len(RUNS) + 3 + 2 + 2)
    for name in files:
        path = folder / "figures" / name
        if name.endswith(".svg"):
            ElementTree.parse(path)
        else:
            assert path.stat().st_size > 1000


def test_figures_of_runs_show_every_name(folder):
    runs = find_runs(folder)
    curves = [drawing for drawings in draw_curves(runs).values() for drawing in drawings]
    assert len(curves) == 2
    for drawing in curves:
        assert {drawable(name) for name in RUNS} <= set(texts(drawing))
        check_room(drawing)
    rows = {name: runs[0].scores() for name in RUNS}
    scores, overlays = draw_scores(rows, "dice"), draw_overlays(runs[0].tensors("overlays"), runs[0].scores(), "x")
    assert {drawable(name) for name in (*RUNS, *CLASSES)} <= set(texts(scores))
    assert {drawable(name) for name in CLASSES} <= set(texts(overlays))
    assert any(drawable(ODD[0]) in text for text in texts(overlays))
    for drawing in (scores, overlays):
        check_room(drawing)


def test_every_odd_name_is_drawn(tmp_path):
    names = [name for name in ODD if name != "x" * 300]
    row = {"class": "a", "dice": 0.5, "hd95": 1.0, "missed": 0, "volume": "v"}
    drawing = draw_scores({name: [row] for name in names}, "dice")
    assert {wrap(name, 50) for name in names} <= set(texts(drawing))
    assert {wrap(name, 50).replace("\n", "") for name in names} == {drawable(name) for name in names}
    drawing.save(tmp_path)
    batch = fabricated.batch()
    views = draw_views(batch | {"names": list(ODD[:6])})
    assert any(shorten(ODD[0], 16) in text for text in texts(views))
    assert len(wrap("x" * 5000, 20).splitlines()) <= 8 and "…" in wrap("x" * 5000, 20)


def test_characters_without_a_picture_are_told():
    assert drawable("a\u0378b\U000e0100") == r"a\u0378b\U000e0100" and drawable("Müller $x") == "Müller $x"


def test_a_table_in_a_terminal_sends_it_no_commands():
    text = str(Table("a\x1b[2J", ["name"], [[name] for name in ODD]))
    assert len(text.splitlines()) == len(ODD) + 2 and text.replace("\n", "").isprintable()
