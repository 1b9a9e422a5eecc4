# SPDX-License-Identifier: Apache-2.0
"""A new method works as it is written: its test, its bundle's stages, in a study's eyes; and nothing is overwritten."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from workflows import BUNDLES, SMALL, run

from monai_cl_ext import cli
from monai_cl_ext.bundles.build import files_of
from monai_cl_ext.data import write_phantom
from monai_cl_ext.packing.checks import SCHEMA
from monai_cl_ext.scaffold import new_method
from monai_cl_ext.study.bundles import find_bundle
from monai_cl_ext.study.own_code import own_code

NAME, CLASS, BUNDLE = "near_far2", "NearFar2", "near_far2_segmentation"
ROOT = BUNDLES.parent
SOURCE = "monai_cl_ext/bundles/source/bundles"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    new_method(NAME, folder)
    return folder / BUNDLE


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The folders of a checkout that are looked for."""
    (tmp_path / "checkout" / SOURCE).mkdir(parents=True)
    return tmp_path / "checkout"


def below(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_the_bundle_is_complete_and_names_the_new_method_alone(tmp_path):
    files = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in new_method(NAME, tmp_path)}
    assert files == below(tmp_path)
    others = {path for path in below(BUNDLES / "simclr_segmentation") if path.split("/")[0] not in ("models", "eval")}
    scripts = {f"scripts/{name}.py" for name in ("__init__", NAME, f"test_{NAME}")}
    assert {path.removeprefix(f"{BUNDLE}/") for path in files} == others | scripts
    assert not [path for path, text in files.items() if re.search(r"own_?method", path + text, re.IGNORECASE)]
    metadata = json.loads(files[f"{BUNDLE}/configs/metadata.json"])
    jsonschema.validate(metadata, json.loads((SCHEMA).read_text()))
    assert metadata["name"] == f"{CLASS} segmentation"


def test_its_own_tests_pass(bundle, tmp_path):
    with own_code(bundle):
        tests = importlib.import_module(f"scripts.test_{NAME}")
        tests.test_the_encoder_is_trained_and_the_decoder_is_frozen(3)
        tests.test_a_collapse_of_its_projections_is_watched()
        tests.test_what_attracts_and_what_repels()
        tests.test_it_learns(tmp_path)  # which a broken rule fails, as it asserts itself


@pytest.mark.slow
def test_pytest_runs_them_in_the_bundles_folder(bundle):
    options = ["-q", "-p", "no:cacheprovider", "scripts"]
    done = subprocess.run([sys.executable, "-m", "pytest", *options], cwd=bundle, capture_output=True, text=True)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout


def test_the_bundle_pretrains_by_the_method(bundle, tmp_path):
    data = write_phantom(tmp_path / "data", patients=6, seed=0)
    short = {**SMALL, "batch_size": 4, "epochs": 1, "batches_per_epoch": 2, "ckpt_dir": str(tmp_path / "models")}
    with own_code(bundle):
        flow = run(bundle, ["pretrain"], dataset_dir=str(data), output_dir=str(tmp_path / "eval"), **short)
    method = flow.parser.get_parsed_content("method")
    assert type(method).__name__ == CLASS and flow.trainer.state.iteration == 2
    assert torch.load(tmp_path / "models" / "model_pretrain.pt", weights_only=True)


def test_a_study_takes_the_folder_as_a_method_under_the_packages_overlays(bundle):
    found = find_bundle(f"{bundle}+network_gcl")
    assert found.pretrain_stages == ["pretrain"] and found.name == f"{BUNDLE}+network_gcl"
    assert found.parser("pretrain")["method"]["_target_"] == f"scripts.{NAME}.{CLASS}"


def test_in_a_checkout_the_files_are_those_of_the_packages_methods(checkout):
    written = {path.relative_to(checkout).as_posix(): path.read_text() for path in new_method(NAME, checkout)}
    source = {f"{SOURCE}/{BUNDLE}/{file}" for file in ("README.md", "metadata.json", "pretrain.json")}
    code = {f"monai_cl_ext/methods/{NAME}.py", f"tests/methods/test_{NAME}.py", f"docs/{NAME}_bundle.md"}
    assert set(written) == source | code
    assert f"from monai_cl_ext.methods import {CLASS}" in written[f"tests/methods/test_{NAME}.py"]
    assert not [path for path, text in written.items() if "scripts" in text]
    built = files_of(checkout / SOURCE / BUNDLE)
    assert json.loads(built["configs/pretrain.json"])["method"]["_target_"] == f"monai_cl_ext.methods.{CLASS}"
    for file in (f"docs/{NAME}_bundle.md", f"tests/methods/test_{NAME}.py"):
        for path in written:
            (checkout / path).unlink(missing_ok=True)
        (checkout / file).write_text("mine")
        with pytest.raises(FileExistsError, match=f"test_{NAME}.py exists|{NAME}_bundle.md exists"):
            new_method(NAME, checkout)
        assert not (checkout / f"monai_cl_ext/methods/{NAME}.py").exists()
        (checkout / file).unlink()


def test_nothing_is_overwritten(bundle):
    before = below(bundle)
    with pytest.raises(FileExistsError, match=f"{BUNDLE} exists already; give another name or --output"):
        new_method(NAME, bundle.parent)
    assert below(bundle) == before


@pytest.mark.parametrize(
    "name, message",
    [("MyMethod", "in lower case such as my_method, found 'MyMethod'"), ("my-method", "found 'my-method'"),
     ("2d", "found '2d'"), ("class", "found 'class'"), ("a/b", "found 'a/b'"), ("", "found ''"),
     ("dice_loss", "a class DiceLoss already, in .*monai"), ("mixup", "a class Mixup already"),
     ("pcl", "a bundle pcl_segmentation already")],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(name, message, tmp_path, checkout):
    for folder in (tmp_path / "own", checkout):
        with pytest.raises(ValueError, match=message):
            new_method(name, folder)
    assert not (tmp_path / "own").exists() and not list(checkout.rglob("*.*"))


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["monai-cl", *map(str, arguments)])
    cli.main()


def test_the_command_tells_what_it_wrote_and_what_to_do_next(monkeypatch, tmp_path, checkout, capsys):
    monkeypatch.chdir(tmp_path)
    command(monkeypatch, "new_method", NAME)
    told = capsys.readouterr().out
    assert f"{BUNDLE}/scripts/{NAME}.py\n" in told and f"cd {BUNDLE}\n" in told
    with pytest.raises(SystemExit, match="^monai-cl: .* exists already; give another name or --output"):
        command(monkeypatch, "new_method", NAME)
    command(monkeypatch, "new_method", NAME, "--output", checkout)
    assert "make bundles" in capsys.readouterr().out
    command(monkeypatch, "new_method", NAME, "--output", "of mine")
    assert f"cd 'of mine/{BUNDLE}'\n" in capsys.readouterr().out
