# SPDX-License-Identifier: Apache-2.0
"""Bundles of an installed package: in the user's cache, as copies, on the command line."""

import json
import multiprocessing
import sys
import tempfile
from pathlib import Path

import pytest
from workflows import BUNDLES

from monai_cl_ext import cli
from monai_cl_ext.bundles import bundle_files, bundle_names, copy_bundle, installed_bundle, shared_overlay
from monai_cl_ext.study import bundles
from monai_cl_ext.study.bundles import find_bundle

NAME = "gcl_segmentation"


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """The user's cache, and the folder of temporary files."""
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return cache, temporary


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_is_built_into_the_users_cache_and_mended_there(places):
    folder = installed_bundle(NAME)
    assert folder.is_relative_to(places[0]) and texts(folder) == dict(bundle_files(NAME))
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert installed_bundle(NAME) == folder
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    (folder / "configs" / "train.json").write_text("{")
    (folder / "LICENSE").unlink()
    assert installed_bundle(NAME) == folder and texts(folder) == dict(bundle_files(NAME))


def test_bundles_of_two_versions_lie_in_two_folders(monkeypatch):
    folder = installed_bundle(NAME)
    other = {**bundle_files(NAME), "LICENSE": "another"}
    monkeypatch.setattr("monai_cl_ext.bundles.installed.bundle_files", lambda name: other)
    monkeypatch.setattr("monai_cl_ext.bundles.build.bundle_files", lambda name: other)
    assert installed_bundle(NAME) != folder and installed_bundle(NAME).name == folder.name == NAME
    assert (installed_bundle(NAME) / "LICENSE").read_text() == "another"


def test_a_home_that_cannot_be_written_is_passed_over(places, monkeypatch):
    cache, temporary = places
    cache.write_text("a file, where a folder should be made")
    folder = installed_bundle(NAME)
    assert folder.is_relative_to(temporary) and texts(folder) == dict(bundle_files(NAME))
    monkeypatch.setattr("monai_cl_ext.bundles.installed.build_bundle", None)  # nothing is written any more
    assert installed_bundle(NAME) == folder


def test_many_processes_build_at_once():
    context = multiprocessing.get_context("fork")  # which need not import torch again
    with context.Pool(4) as pool:
        (folder,) = set(pool.map(installed_bundle, [NAME] * 16, chunksize=1))
    assert texts(folder) == dict(bundle_files(NAME))


def test_without_a_checkout_a_study_finds_the_packages_bundles(places, monkeypatch, tmp_path):
    monkeypatch.setattr(bundles, "CHECKOUT", tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    method = find_bundle(f"{NAME}+network_gcl")
    assert method.folder.is_relative_to(places[0]) and method.name == f"{NAME}+network_gcl"
    copied = method.copy(tmp_path / "cell")
    assert copied.folder.name == "cell" and copied.path("network_gcl").is_relative_to(tmp_path / "cell")
    assert find_bundle(NAME, [BUNDLES]).folder == BUNDLES / NAME  # a folder of one's own comes first


def test_a_copy_holds_the_overlays_that_were_asked_for(tmp_path):
    folder = copy_bundle(NAME, tmp_path, ["network_gcl", "strategy_gr"])
    added = {"configs/network_gcl.json": shared_overlay("network_gcl").read_text()}
    assert texts(folder) == {**bundle_files(NAME), **added}
    with pytest.raises(FileExistsError, match="exists already; give another --output"):
        copy_bundle(NAME, tmp_path)
    with pytest.raises(FileNotFoundError, match="no overlay 'other'; it has policy_strong, .*, no_local"):
        copy_bundle(NAME, tmp_path / "other", ["network_gcl", "other"])
    with pytest.raises(FileNotFoundError, match="no overlay 'mixup'; it has policy_strong, "):
        copy_bundle("dino_classification", tmp_path, ["mixup"])
    with pytest.raises(FileNotFoundError, match=f"found no bundle 'gcl' in the package; it has .*{NAME}"):
        copy_bundle("gcl", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("temporary", "cache")] == [NAME]


def command(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["monai-cl", *arguments])
    cli.main()


def test_the_command_lists_and_copies(tmp_path, monkeypatch, capsys):
    command(monkeypatch, "bundle", "list")
    listed = capsys.readouterr().out
    for name in bundle_names():
        metadata = json.loads(bundle_files(name)["configs/metadata.json"])
        (_, entry) = listed.split(f"{name}\n")
        entry = entry.split("_segmentation\n")[0].replace("\n       ", "")
        assert all(text in entry for text in (metadata["task"], *metadata["pretrain_stages"], *metadata["overlays"]))
    command(monkeypatch, "bundle", "copy", NAME, "--output", str(tmp_path / "c"), "--overlay", "network_gcl,mixup")
    assert (tmp_path / "c" / NAME / "configs" / "mixup.json").is_file()
    assert f"{NAME} copied to" in capsys.readouterr().out
    command(monkeypatch, "bundle", "copy", NAME, "--output", str(tmp_path / "d"), "--overlay", "mixup")
    assert (tmp_path / "d" / NAME / "configs" / "mixup.json").is_file()
    for wrong, said in ((["--overlays", "mixup"], "copy has no option --overlays"), ([], "exists already")):
        with pytest.raises(SystemExit) as ended:
            command(monkeypatch, "bundle", "copy", NAME, "--output", str(tmp_path / "d"), *wrong)
        assert said in str(ended.value.code)
