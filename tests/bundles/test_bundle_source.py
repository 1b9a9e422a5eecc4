# SPDX-License-Identifier: Apache-2.0
"""The committed bundles are what the source in the package builds."""

import json
from pathlib import Path

import pytest
from workflows import BUNDLES, parsed, read

from monai_cl_ext.bundles import build_bundle, bundle_names
from monai_cl_ext.bundles.build import SOURCE
from monai_cl_ext.bundles.json_text import json_text
from monai_cl_ext.bundles.layers import laid_over, merged, ordered_config

OURS = ("models", "eval", "runs", "data", "__pycache__")  # what a run leaves in a bundle's folder


def files_below(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.relative_to(folder).parts[0] not in OURS]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def test_every_bundle_is_committed():
    assert sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()) == bundle_names()


@pytest.mark.parametrize("name", bundle_names())
def test_the_committed_folder_is_what_the_source_builds(name, tmp_path):
    built, committed = files_below(build_bundle(name, tmp_path)), files_below(BUNDLES / name)
    assert set(built) == set(committed)
    assert [path for path in built if built[path] != committed[path]] == [], "run make bundles"
    assert len(built) <= 20


def test_the_source_is_short():
    """The bundles that pre-train had 9,876 lines when they were copies of each other; another one is to add few.

    An overlay for all of them is to be short, and to add a line elsewhere.
    """
    lines = {path: len(path.read_text().splitlines()) for path in SOURCE.rglob("*.json")}
    stages = sum(len(read(name, "metadata")["train_stages"]) for name in bundle_names())
    ours = {path: count for path, count in lines.items() if not path.name.startswith("paper_")}  # those are the papers'
    overlays = [count for path, count in ours.items() if path.parent == SOURCE / "overlays"]
    assert max(overlays) < 30 and sum(overlays) <= 6 * len(overlays)
    assert sum(ours.values()) - sum(overlays) <= 1418 + 16 * stages + len(overlays)
    own = {
        name: sum(
            lines[path] for kind in ("pretrain*", "train*") for path in (SOURCE / "bundles" / name).glob(f"{kind}.json")
        )
        for name in bundle_names()
    }
    own |= {name: own[name] + lines[SOURCE / "dino" / "pretrain.json"] for name in own if name.startswith("dino")}
    large = {
        "gcl_segmentation",
        "dira_segmentation",
        "learned_augmentation_segmentation",
        "supercl_segmentation",
        "dino_classification",
        "dino_segmentation",
    }
    assert max(own.values()) < 90 and max(own[name] for name in own.keys() - large) < 35, own


@pytest.mark.parametrize("name", bundle_names())
def test_an_overlay_is_named_in_metadata_with_stages_that_exist(name):
    metadata = read(name, "metadata")
    configs = {path.stem for path in (BUNDLES / name / "configs").glob("*.json")}
    stages = {*metadata["pretrain_stages"], *metadata["train_stages"], "evaluate", "inference"}
    assert stages <= configs and metadata["train_stages"][-1] == "train"
    assert configs - stages - {"metadata", "multi_gpu_train"} <= set(metadata["overlays"])
    for overlay, entry in metadata["overlays"].items():
        assert set(entry["stages"]) | set(entry.get("pretrain_stages", [])) <= stages
        assert not {"stages", "pretrain_stages"} & set(read(name, overlay))
        assert all(parsed(name, stage, overlay) for stage in entry["stages"] if stage != "evaluate")


def test_layers_are_laid_as_monai_lays_files_and_may_drop_ids():
    base = {"a": 1, "b": {"c": [1], "d": 2}, "e": "@a"}
    patch = {"-": ["b#d", "e"], "a": 2, "+b#c": [3], "b#f": "@g", "g": 4}
    assert laid_over(base, patch) == {"a": 2, "b": {"c": [1, 3], "f": "@g"}, "g": 4}
    assert base == {"a": 1, "b": {"c": [1], "d": 2}, "e": "@a"}
    with pytest.raises(KeyError):
        laid_over(base, {"-": ["z"]})


def test_an_overlay_keeps_what_it_says_of_the_inside_of_its_stages_ids():
    overlay = {"a": 1, "split": {"name": "x", "seed": 0}}
    patch = {"split#name": "y", "cases#pattern": "z", "+train#settings": {"b": "@b"}}
    assert laid_over(overlay, patch) == {
        "a": 1, "split": {"name": "y", "seed": 0}, "cases#pattern": "z", "+train#settings": {"b": "@b"},
    }  # fmt: skip


def test_a_file_of_the_source_may_include_others_and_name_ids_once(tmp_path):
    files = {
        "shared/policy.json": {"policy": {"_target_": "x.Policy", "@": ["size", "limits"], "seed": 0}, "width": 1},
        "first/train.json": {"width": 3, "height": 4},
        "second/train.json": {"<": ["../shared/policy.json"], "-": ["height"], "policy#seed": 5, "width": 2},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))
    assert merged([tmp_path / "first", tmp_path / "second"], "train") == {
        "width": 2, "policy": {"_target_": "x.Policy", "size": "@size", "limits": "@limits", "seed": 5},
    }  # fmt: skip


def test_ids_stand_behind_those_that_they_refer_to():
    config = {"first": 1, "user": "$@last + @middle#part", "middle": {"x": "@last"}, "last": 2, "lasting": "%first"}
    assert list(ordered_config(config)) == ["first", "last", "middle", "user", "lasting"]
    assert list(ordered_config({"a": 1, "_desc_": "@x"})) == ["_desc_", "a"]
    assert list(ordered_config({"train": "@validate#x", "validate": "@train#y"})) == ["train", "validate"]


def test_short_lists_stand_on_one_line():
    content = {"a": [1, 2], "b": {"c": "x" * 120, "d": []}, "é": {}}
    assert json_text(content) == (
        '{\n    "a": [1, 2],\n    "b": {\n        "c": "' + "x" * 120 + '",\n        "d": []\n    },\n    "é": {}\n}\n'
    )
    for width in range(100, 120):
        text = json_text({"a": {"b": "x" * width}})
        assert max(map(len, text.splitlines())) <= 120 or '{"b"' not in text
