# SPDX-License-Identifier: Apache-2.0
"""Bundles are found by path and by name, and overlays concern the stages that they name."""

import json
from pathlib import Path

import pytest

from monai_cl_ext.study.bundles import CHECKOUT, FOLDER_VARIABLE, Bundle, find_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    configs = tmp_path / "mine" / "configs"
    configs.mkdir(parents=True)
    contents = {
        "metadata": {"pretrain_stages": ["pretrain_one", "pretrain_two"]},
        "pretrain_one": {},
        "train": {},
        "everywhere": {"epochs": 1},
        "first": {"stages": ["pretrain_one"], "epochs": 2},
        "shorter": {"stages": [], "pretrain_stages": ["pretrain_one"]},
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
    with pytest.raises(FileNotFoundError, match=r"missing.json does not exist; .*everywhere, first"):
        find_bundle("mine+missing", [tmp_path])


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


def test_every_overlay_of_our_bundles_names_stages_that_exist():
    for path in CHECKOUT.glob("*/configs/*.json"):
        content = json.loads(path.read_text())
        for stage in [*content.get("stages", []), *content.get("pretrain_stages", [])]:
            assert path.with_name(f"{stage}.json").is_file(), (path, stage)
