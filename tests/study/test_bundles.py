# SPDX-License-Identifier: Apache-2.0
"""Bundles are found by path and by name, and overlays concern the stages that they name."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from monai_cl_ext.bundles import shared_overlay
from monai_cl_ext.study.bundles import CHECKOUT, FOLDER_VARIABLE, Bundle, find_bundle
from monai_cl_ext.study.card import config_hash
from monai_cl_ext.study.own_code import own_code
from monai_cl_ext.study.recipe import from_scratch

original = Path.read_text


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    configs = tmp_path / "mine" / "configs"
    configs.mkdir(parents=True)
    contents = {
        "metadata": {
            "pretrain_stages": ["pretrain_one", "pretrain_two"],
            "overlays": {
                "first": {"stages": ["pretrain_one"]},
                "shorter": {"stages": [], "pretrain_stages": ["pretrain_one"]},
                "mixup": {"stages": ["train"]},
            },
        },
        "pretrain_one": {},
        "train": {},
        "everywhere": {"epochs": 1},
        "first": {"epochs": 2},
        "shorter": {},
        "old": {"stages": ["train"], "epochs": 3},
    }
    for name, content in contents.items():
        (configs / f"{name}.json").write_text(json.dumps(content))
    return Bundle(configs.parent)


def test_a_bundle_is_found_by_path_by_option_by_variable_and_beside_a_checkout(bundle, monkeypatch, tmp_path):
    assert find_bundle(str(bundle.folder)).folder == bundle.folder
    assert find_bundle("mine", [tmp_path]).folder == bundle.folder
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert find_bundle("mine").folder == bundle.folder
    assert find_bundle("gcl_segmentation").folder == CHECKOUT / "gcl_segmentation"


def test_an_absent_bundle_or_overlay_is_named(bundle, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"'yours'.*{tmp_path}.*{FOLDER_VARIABLE}"):
        find_bundle("yours", [tmp_path])
    with pytest.raises(FileNotFoundError, match="the package's, bcp_segmentation, "):
        find_bundle("yours", [tmp_path])
    with pytest.raises(FileNotFoundError, match=r"missing.json does not exist; .*everywhere, first, metadata, mixup"):
        find_bundle("mine+missing", [tmp_path])
    with pytest.raises(FileNotFoundError, match="network_gcl.json does not exist"):  # metadata.json names mixup alone
        find_bundle("mine+network_gcl", [tmp_path])


def test_an_overlay_that_names_its_stages_itself_is_refused(bundle, tmp_path):
    with pytest.raises(ValueError, match=r"old.json holds 'stages', .*metadata.json: .overlays.: {.old.: {.stages.:"):
        find_bundle("mine+old", [tmp_path]).configs("train")


def test_overlays_concern_the_stages_that_they_name(bundle):
    method = Bundle(bundle.folder, ("everywhere", "first", "shorter"))
    assert method.name == "mine+everywhere+first+shorter"
    assert method.configs("pretrain_one") == ["pretrain_one", "everywhere", "first"]
    assert method.configs("train", "evaluate") == ["train", "evaluate", "everywhere"]
    assert bundle.pretrain_stages == ["pretrain_one", "pretrain_two"]
    assert method.pretrain_stages == ["pretrain_one"]


def test_a_copy_leaves_weights_and_results_behind(bundle, tmp_path):
    for name in ("models", "eval"):
        (bundle.folder / name).mkdir()
    copied = bundle.copy(tmp_path / "copy")
    assert sorted(path.name for path in copied.folder.iterdir()) == ["configs"]
    assert copied.read("first") == bundle.read("first")


def test_a_config_that_is_not_json_is_named(bundle):
    bundle.path("first").write_text("{")
    with pytest.raises(ValueError, match=r"first.json is not JSON"):
        bundle.read("first")


def test_overlays_of_the_package_are_found_read_and_copied(bundle, tmp_path):
    method = find_bundle("mine+mixup", [tmp_path])
    assert method.path("mixup") == shared_overlay("mixup") and "mixup_alpha" in method.read("mixup")
    assert method.configs("train") == ["train", "mixup"] and method.configs("pretrain_one") == ["pretrain_one"]
    copied = method.copy(tmp_path / "copy")
    assert copied.path("mixup") == tmp_path / "copy" / "configs" / "mixup.json"
    assert copied.read("mixup") == method.read("mixup")


def test_an_overlay_of_the_bundles_own_hides_the_packages(bundle):
    (bundle.folder / "configs" / "mixup.json").write_text('{"own": 1}')
    assert Bundle(bundle.folder, ("mixup",)).read("mixup") == {"own": 1}


def test_the_hash_of_a_bundle_is_that_of_its_configs_and_overlays(bundle, tmp_path):
    before = config_hash(bundle)
    (bundle.folder / "configs" / "mixup.json").write_text(shared_overlay("mixup").read_text())
    assert config_hash(bundle) == before
    (bundle.folder / "configs" / "mixup.json").write_text("{}")
    assert config_hash(bundle) != before


def test_code_in_a_bundles_scripts_is_part_of_its_hash(bundle):
    script = bundle.folder / "scripts" / "method.py"
    script.parent.mkdir()
    found = {config_hash(bundle)}
    for text in ("a = 1", "a = 2"):
        script.write_text(text)
        found.add(config_hash(bundle))
    assert len(found) == 3


def test_the_place_of_code_is_part_of_the_hash_and_its_tests_are_not(bundle):
    scripts, found = bundle.folder / "scripts", []
    (scripts / "parts").mkdir(parents=True)
    (scripts / "method.py").write_text("a = 1")
    for text in ("assert 1", "assert 2"):
        (scripts / "test_method.py").write_text(text)
        found.append(config_hash(bundle))
    (scripts / "method.py").rename(scripts / "parts" / "method.py")
    assert found[0] == found[1] != config_hash(bundle)


def test_each_bundle_imports_its_own_scripts(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "scripts").mkdir(parents=True)
        (tmp_path / name / "scripts" / "__init__.py").touch()
        (tmp_path / name / "scripts" / "part.py").write_text(f"NAME = '{name}'")
        with own_code(tmp_path / name):
            assert name == importlib.import_module("scripts.part").NAME
        assert str(tmp_path / name) not in sys.path and "scripts" not in sys.modules


@pytest.mark.parametrize("files", [["scripts/__init__.py", "scripts/part.py"], ["scripts/part.py"]])
def test_scripts_imported_from_elsewhere_are_set_aside(files, tmp_path, monkeypatch):
    for name in ("elsewhere", "bundle"):
        (tmp_path / name / "scripts").mkdir(parents=True)
        for file in files:
            (tmp_path / name / file).write_text(f"NAME = '{name}'")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    part = importlib.import_module("scripts.part")
    package = sys.modules["scripts"]
    try:
        with own_code(tmp_path / "bundle"):
            assert importlib.import_module("scripts.part").NAME == "bundle"
        assert sys.modules["scripts.part"] is part and sys.modules["scripts"] is package
    finally:
        for name in ("scripts.part", "scripts"):
            sys.modules.pop(name, None)


def test_a_config_is_read_once(monkeypatch):
    reads = []
    monkeypatch.setattr(Path, "read_text", lambda path, *a, **k: reads.append(path) or original(path, *a, **k))
    bundle = find_bundle("gcl_segmentation+network_gcl")
    for _ in range(3):
        assert bundle.pretrain_stages == ["pretrain_global", "pretrain_local"]
        assert bundle.known(["train"], {"epochs": 1, "no_such_setting": 2}) == {"epochs": 1}
        assert bundle.parser("train", "evaluate")["network_def"]["_target_"].endswith("GCLUNet")
    names = [path.name for path in reads if path.suffix == ".json"]
    assert sorted(names) == ["evaluate.json", "metadata.json", "network_gcl.json", "train.json"]


@pytest.mark.parametrize("method, expected", [
    ("scratch", True), ("scratch+mixup", True), ("scratch > bcp_segmentation", True), (" scratch  >  a+b", True),
    ("gcl_segmentation", False), ("gcl_segmentation > bcp_segmentation", False), ("scratching", False),
])  # fmt: skip
def test_a_chain_from_scratch_is_training_from_scratch(method, expected):
    assert from_scratch(method) == expected
