# SPDX-License-Identifier: Apache-2.0
"""Names of files, patients, classes, methods and folders are data: nothing reads them as part of a configuration."""

import json
import shutil
from pathlib import Path

import pytest
from monai.bundle import ConfigParser
from plain_bundle import write_plain_bundle

from monai_cl_ext.data import find_cases, read_listed, write_phantom
from monai_cl_ext.study.bundles import Bundle, find_bundle
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import collect_scores
from monai_cl_ext.study.commands import keep_plan
from monai_cl_ext.study.handover import handed_over, literal
from monai_cl_ext.study.layout import folder_name
from monai_cl_ext.study.probe import expected_seconds
from monai_cl_ext.study.stage import run_stage
from monai_cl_ext.study.task import run_task, write_task

TOUCH = "$__import__('os').system('touch owned')"
NAMES = [
    TOUCH, "@seed", "%seed", "@#seed", "@##a", "a@::b#c", "%train.json#seed", "$(id)", "${x}", "it's", 'a "b"', "a\nb",
    "\t", "=1+1", "+1", "-1", "<b>&amp;", "a|b", "a*b", "_hidden", "..", ".", "../../x", "/root", "C:\\x", "ä ö 脳",
    "None", "001", "1e5", "true", "\\U00000024", "$'x'", "import os", "x" * 100,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_text_comes_out_of_the_parser_as_it_went_in(name, tmp_path):
    values, lists = handed_over({"text": name, "list": [{"image": name}], "parts": {name: [name]}}, tmp_path / "x.json")
    (tmp_path / "x.json").write_text(lists, encoding="utf-8")
    arguments = json.loads(json.dumps(values))  # as an argument file holds them
    parser = ConfigParser({"seed": 7, "train": {"a": 1}, "shown": "@text", "joined": "$@text + '/models'", **arguments})
    assert parser.get_parsed_content("text") == name
    assert parser.get_parsed_content("shown") == name and parser.get_parsed_content("joined") == name + "/models"
    assert parser.get_parsed_content("list") == [{"image": name}]
    assert parser.get_parsed_content("parts") == {name: [name]}


def test_a_list_of_a_strangely_named_file_is_found(tmp_path):
    folder = tmp_path / "@#a $b %c"
    folder.mkdir()
    values, lists = handed_over({"@list": [1]}, folder / "x.json")
    (folder / "x.json").write_text(lists, encoding="utf-8")
    assert ConfigParser({"list": values["@list"]}).get_parsed_content("list") == [1]


def test_plain_paths_stay_readable():
    assert literal("/data/study 1/a+b_c-d.nii.gz") == "/data/study 1/a+b_c-d.nii.gz"


def test_a_damaged_list_is_named(tmp_path):
    path = tmp_path / "lists.json"
    for text, sentence in (("", "expected a JSON file of lists"), ("[1]", "found list"), ('{"a": 1}', "found 'a'")):
        path.write_text(text)
        with pytest.raises(ValueError, match=sentence) as error:
            read_listed(path, "split")
        assert str(path) in str(error.value)


def test_names_give_folders_that_stay_inside_and_apart(tmp_path):
    names = [*NAMES, *(name.upper() for name in NAMES if name.upper() not in NAMES), "y" * 300, "y" * 301, "\udcff"]
    folders = [folder_name(name) for name in names]
    assert len(set(folders)) == len(names)
    for folder in folders:
        inside = (tmp_path / folder).resolve()
        assert inside.parent == tmp_path and len(folder.encode()) < 256
        assert "\n" not in folder and "/" not in folder and "\\" not in folder
    assert folder_name("G^D + L^R=0.5") == "G^D + L^R=0.5"


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> Path:
    """Phantom volumes whose names would run, refer, or leave, below a folder of such a name."""
    root = tmp_path_factory.mktemp("data")
    made = write_phantom(root / "phantom", patients=7, seed=0)
    folder = root / "@#data $x %y"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    names = [TOUCH, "@seed", "%x", "@#y", 'it\'s "=+<"', "a\nb", "ordinary"]
    for case, name in zip(find_cases(made), names, strict=True):
        for key, part in (("image", "imagesTr"), ("label", "labelsTr")):
            shutil.copy(case[key], folder / part / f"{name}.nii.gz")
    return folder


def test_a_study_of_strange_names_runs_and_keeps_them(strange, tmp_path, monkeypatch):
    """Plan, timing, training, prediction and scores; nothing is executed and every name comes out as it went in."""
    monkeypatch.chdir(tmp_path)
    bundle = write_plain_bundle(tmp_path / "+bundles $a @#b")
    root = tmp_path / "study @#seed $x"
    method = f"../../{TOUCH}"
    classes = ["$class", "=LV", "@seed"]
    plan = keep_plan(
        root,
        {
            "dataset_dir": str(strange / "imagesTr"), "label_dir": str(strange / "labelsTr"), "classes": classes,
            "methods": {method: str(bundle)}, "labelled": [1], "draws": 1, "validation": 2, "test": 4,
            "train_settings": {"train#trainer#max_epochs": 1},
            "scratch_learning_rates": [],
        },
    )  # fmt: skip
    cells = tasks(plan, root)
    assert all(seconds > 0 for seconds in expected_seconds(cells).values())
    for cell in cells:
        run_task(write_task(cell, root))
    scores = collect_scores(cells, root)
    assert set(scores["patient"]) == {case["patient"] for case in plan.splits[0]["test"]}
    assert set(scores["method"]) == {method} and set(scores["class"]) == set(classes)
    written = [path.relative_to(root).parts[0] for path in root.rglob("scores.csv")]
    assert written == ["finetune"] and not list(tmp_path.rglob("owned")) and not Path("owned").exists()
    assert all((root / cell.name).resolve().is_relative_to(root.resolve()) for cell in cells)


def test_a_stage_of_this_package_reads_its_lists_from_a_file(strange, tmp_path, monkeypatch):
    """The argument file that a cell keeps runs again by MONAI's own command."""
    monkeypatch.chdir(tmp_path)
    bundle = find_bundle("gcl_segmentation+no_local").copy(tmp_path / "cell @#seed $x")
    cases = find_cases(strange / "imagesTr")
    split = {"pretrain": cases[:4], "train": cases[:4], "validation": cases[4:], "test": []}
    settings = {
        "image_size": [32, 32], "pixdim": [5.0, 5.0], "network_def#features": [4, 8, 8, 8, 8, 4], "epochs": 1,
        "batches_per_epoch": 1, "volumes_per_batch": 2,
    }  # fmt: skip
    run_stage(bundle, ["pretrain_global"], settings, {"split": split}, logged=False)
    assert (bundle.folder / "models" / "model_pretrain_global.pt").is_file() and not list(tmp_path.rglob("owned"))
    record = json.loads((bundle.folder / "eval" / "pretrain_global" / "run_pretrain_global.json").read_text())
    assert set(record["data"]["pre-training"]["patient_of_volume"]) == {case["patient"] for case in cases[:4]}
    arguments = json.loads((bundle.folder / "pretrain_global.json").read_text())
    parser = ConfigParser(ConfigParser.load_config_files(arguments.pop("config_file")))
    parser.update(arguments)
    assert parser.get_parsed_content("split") == split
    assert parser.get_parsed_content("ckpt_dir") == str(bundle.folder / "models")


def test_a_bundle_whose_path_holds_a_plus_is_found(tmp_path):
    bundle = write_plain_bundle(tmp_path / "a+b")
    (bundle / "configs" / "faster.json").write_text("{}")
    assert find_bundle(f"{bundle}+faster") == Bundle(bundle.resolve(), ("faster",))
    assert find_bundle("plain+faster", [tmp_path / "a+b"]) == Bundle(bundle.resolve(), ("faster",))
    with pytest.raises(FileNotFoundError, match="slower.json does not exist"):
        find_bundle(f"{bundle}+slower")
