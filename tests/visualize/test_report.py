# SPDX-License-Identifier: Apache-2.0
"""The report page: one file, every section from its record, numbers as in metrics.csv."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import fabricated
import pytest
import torch
from report_pages import Page
from workflows import SMALL, copy_bundle, run

from monai_cl_ext.data import write_phantom
from monai_cl_ext.visualize import find_runs, write_report
from monai_cl_ext.visualize.report import unit_of
from monai_cl_ext.visualize.training_sections import training_sections


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return fabricated.write_runs(tmp_path_factory.mktemp("report") / "demo & more")


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def mean(values):
    known = [value for value in values if value == value]
    return sum(known) / len(known)


def test_the_page_refers_to_nothing_outside_itself(folder, page):
    assert page.references
    assert all(value.startswith(("data:image/", "#")) for value in page.references)
    text = (folder / "report.html").read_text()
    assert "@import" not in text and "url(" not in text and not re.search(r"https?://", text)


def test_every_section_is_there_and_its_figures_lie_beside(folder, page):
    assert page.sections == ["runs", "batch", "curves", "embeddings", "scores", "overlays", "details"]
    images = [value for value in page.references if value.startswith("data:")]
    files = {path.suffix: path for path in (folder / "figures").iterdir()}
    assert set(files) == {".png", ".svg"}
    assert len(images) == len(list((folder / "figures").glob("*.png"))) == 3 + 3 + 2 + 2 + 2 + 2


def test_runs_and_data_are_told(page):
    text = " ".join(page.text.split())
    for said in ("demo & more", "1 min 15 s", "1.50 GiB", "9.6", "48 × 40", "a processor, 2 threads", "torch 2.13",
                 "None of the 2 test patients was trained on.", "GCLGlobal(loss=<Partition"):  # fmt: skip
        assert said in text, said
    runs = page.tables[0]
    assert [row[:2] for row in runs[1:]] == [["pretrain_global", "pretrain_global"], ["pretrained", "train"],
                                             ["pretrained", "evaluate"], ["scratch", "train"],
                                             ["scratch", "evaluate"]]  # fmt: skip
    assert runs[1][runs[0].index("seed")] == "3"


def test_scores_are_those_of_metrics_csv_with_scratch_first(folder, page):
    dice, hd95 = page.tables[2:4]
    assert dice[0] == ["run", "RV", "LV", "all classes"]
    for row, distances, name in zip(dice[1:], hd95[1:], ("scratch", "pretrained"), strict=True):
        with open(folder / name / "metrics.csv") as file:
            rows = list(csv.DictReader(file))
        assert row[0] == distances[0] == name
        for column, label in ((1, "RV"), (2, "LV")):
            own = [found for found in rows if found["class"] == label]
            assert row[column] == f"{mean([float(found['dice']) for found in own]):.3f}"
            assert distances[column] == f"{mean([float(found['hd95']) for found in own]):.1f}"
        volumes = sorted({found["volume"] for found in rows})
        each = [mean([float(found["dice"]) for found in rows if found["volume"] == volume]) for volume in volumes]
        assert row[3] == f"{mean(each):.3f}"
    every = next(table for table in page.tables if table[0] == ["run", "volume", "class", "Dice"])
    assert ["scratch", "case0", "RV", "–"] in every and ["pretrained", "case3", "LV", "0.750"] in every
    assert "pretrained against scratch: mean Dice +0.175, higher in 4 of 4 volumes." in " ".join(page.text.split())


def test_the_pair_map_names_the_slices_of_each_cell(folder):
    text = (folder / "report.html").read_text()
    data = json.loads(re.search(r'class="pairs-data">(.*?)</script>', text, flags=re.DOTALL)[1])
    assert len(data["rows"]) == len(data["cells"]) == 18
    assert data["rows"][0] == "patient0 · p0 · original"


@pytest.mark.slow
def test_a_batch_is_drawn_by_what_its_loss_joins(tmp_path):
    pairs, places, neither = fabricated.batch(), fabricated.superpixel_batch(), fabricated.batch()
    del neither["positive"], neither["negative"]
    both = pairs | {"superpixels": places["superpixels"][:, :, :12]}
    run = fabricated.write_runs(tmp_path / "first") / "pretrain_global"
    for name, batch in {"both": both, "neither": neither, "pairs": pairs, "places": places}.items():
        shutil.copytree(run, tmp_path / "runs" / name)
        torch.save(batch, tmp_path / "runs" / name / "batch.pt")
    section = training_sections(find_runs(tmp_path / "runs"), tmp_path / "figures")[0]
    drawn = {name: [drawing.name for drawing, _ in drawings] for name, drawings in section.groups}
    assert drawn == {
        "both": ["both_views", "both_pair_map", "both_pairs", "both_superpixels"], "neither": ["neither_views"],
        "pairs": ["pairs_views", "pairs_pair_map", "pairs_pairs"], "places": ["places_views", "places_superpixels"],
    }  # fmt: skip
    said = {name for name, drawings in section.groups if "No pair map" in drawings[0][0].caption}
    assert said == {"neither"}


def test_a_leak_is_named(tmp_path):
    write = fabricated.record("train", 1.0, {}, {"training": fabricated.card(["x", "y"]),
                                                 "test": fabricated.card(["y"])})  # fmt: skip
    (tmp_path / "run_train.json").write_text(json.dumps(write))
    assert "Warning: 1 of 1 test patients were trained on: y." in write_report(tmp_path).read_text()


def test_an_interrupted_run_alone_makes_a_page_of_what_is_there(tmp_path):
    record = fabricated.record("pretrain_x", 1.0, {"seed": 0}, {}) | {"completed": False, "epochs": 1}
    for key in ("iterations", "images_per_second", "peak_memory_bytes"):
        del record[key]
    (tmp_path / "run_pretrain_x.json").write_text(json.dumps(record))
    page = Page(write_report(tmp_path, tmp_path / "out" / "page.html").read_text())
    assert page.sections == ["runs", "details"]
    assert "stopped after 1 of 3 epochs" in page.text
    assert not (tmp_path / "report.html").exists()


def test_scores_alone_make_a_page(folder, tmp_path):
    shutil.copy(folder / "scratch" / "metrics.csv", tmp_path)
    page = Page(write_report(tmp_path).read_text())
    assert page.sections == ["scores", "details"]


def test_events_of_an_earlier_run_in_the_folder_do_not_count(folder, tmp_path):
    shutil.copytree(folder / "scratch", tmp_path / "run")
    (earlier,) = (path.name for path in (tmp_path / "run").glob("events*"))
    record = json.loads((tmp_path / "run" / "run_train.json").read_text())
    for names, expected in (([], set()), ([earlier], {"train_loss", "mean_dice"}), (["events.gone"], set())):
        (tmp_path / "run" / "run_train.json").write_text(json.dumps(record | {"event_files": names}))
        (found,) = find_runs(tmp_path / "run")
        assert set(found.curves()) == expected
    assert set(find_runs(folder)[1].curves()) == {"train_loss", "mean_dice"}  # a record of before files were named


@pytest.mark.parametrize(
    "name, content, message",
    [("batch.pt", "no tensors", "batch.pt: cannot be read as a checkpoint .*; delete it"),
     ("metrics.csv", "a,b\n1,2\n", "not a table of scores"),
     ("run_train.json", "{", "not the record of a run")],
)  # fmt: skip
def test_broken_records_are_named(name, content, message, tmp_path):
    shutil.copytree(fabricated.write_runs(tmp_path / "runs") / "pretrain_global", tmp_path / "one")
    (tmp_path / "one" / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path / "one")


def test_without_matplotlib_the_extra_is_named():
    block = "import sys; sys.modules['matplotlib'] = None; import monai_cl_ext.visualize"
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
    assert "pip install 'monai-cl-ext[report]'" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_real_run_of_the_bundle_fills_every_section(tmp_path):
    write_phantom(tmp_path / "data", patients=9, seed=0)
    root = copy_bundle("gcl_segmentation", tmp_path)
    settings = {**SMALL, "dataset_dir": str(tmp_path / "data")}
    out = tmp_path / "runs"
    run(root, ["pretrain_global"], **settings, output_dir=str(out / "pretrain_global"))
    for stages in (["train"], ["train", "evaluate"]):
        run(root, stages, **settings, batch_size=4, output_dir=str(out / "scratch"))
    page = Page(write_report(out).read_text())
    assert page.sections == ["runs", "batch", "curves", "embeddings", "scores", "overlays", "details"]
    with open(out / "scratch" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    dice = next(table for table in page.tables if "all classes" in table[0])
    for column, label in enumerate(dice[0][1:-1], start=1):
        assert dice[1][column] == f"{mean([float(row['dice']) for row in rows if row['class'] == label]):.3f}"
    text = " ".join(page.text.split())
    for said in ("None of the 2 test patients was trained on.", "completed", "PartitionContrastiveLoss(strategy=gd"):
        assert said in text, said
    data = page.tables[1]
    assert [row[:3] for row in data[1:]] == [["pre-training", "5", "5"], ["validation", "2", "2"],
                                             ["training", "5", "5"], ["test", "2", "2"]]  # fmt: skip
    names = {
        path.name
        for folder in ("pretrain_global", "scratch")
        for path in (out / folder).iterdir()
        if not path.name.startswith("events")
    }
    assert names == {"batch.pt", "embeddings.pt", "metrics.csv", "overlays.pt", "run_evaluate.json",
                     "run_pretrain_global.json", "run_train.json", "config_pretrain_global.json", "config_train.json",
                     "config_evaluate.json"}  # fmt: skip


def test_folds_leak_nothing_into_each_other(tmp_path):
    for name, trained, tested in (("fold0", ["a", "b"], ["c"]), ("fold1", ["b", "c"], ["a"])):
        (tmp_path / name).mkdir()
        record = fabricated.record(
            "train", 1.0, {}, {"training": fabricated.card(trained), "test": fabricated.card(tested)}
        )
        (tmp_path / name / "run_train.json").write_text(json.dumps(record))
    assert "None of the 2 test patients was trained on." in write_report(tmp_path).read_text()
    (tmp_path / "pretrained").mkdir()
    record = fabricated.record("pretrain", 0.0, {}, {"training": fabricated.card(["a", "d"])})
    (tmp_path / "pretrained" / "run_pretrain.json").write_text(json.dumps(record))
    assert "Warning: 1 of 2 test patients were trained on: a." in write_report(tmp_path).read_text()


@pytest.mark.parametrize("spacing, unit", [([True], "mm"), ([False], "voxels"), ([True, False], "mm or voxels")])
def test_distances_of_both_units_are_told_so(spacing, unit):
    runs = [SimpleNamespace(stages={"evaluate": {"settings": {"use_spacing": used}}}) for used in spacing]
    assert unit_of(runs) == unit
