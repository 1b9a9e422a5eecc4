# SPDX-License-Identifier: Apache-2.0
"""What the pages show works: examples run, commands name what exists, the first run leaves the files that it should."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from commands import RUN_ARGUMENTS, BundleRun, Call, Shell, WrongCommand, is_setting, parsed
from monai.bundle import ConfigParser
from pages import PAGES, ROOT, Block, blocks, commands, inline
from workflows import SMALL, copy_bundle, run

from monai_cl_ext.bundles import bundle_names, shared_overlay
from monai_cl_ext.cli import Commands
from monai_cl_ext.data import write_phantom
from monai_cl_ext.packing.commands import BundleCommands
from monai_cl_ext.study.commands import StudyCommands

README, START, OWN_DATA = ROOT / "README.md", ROOT / "docs" / "start.md", ROOT / "docs" / "own_data.md"
BUNDLE = "gcl_segmentation"


def with_kind(kind: str) -> list[Path]:
    return [page for page in PAGES if any(block.kind == kind for block in blocks(page))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="session")
def few_patients(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("few") / "phantom", patients=4, seed=0)


@pytest.fixture
def root(tmp_path) -> Path:
    """What commands need of the repository: the bundles without weights, scripts, Makefile and setup.cfg."""
    for bundle in (ROOT / "bundles").iterdir():
        copy_bundle(bundle.name, tmp_path / "bundles")
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "docs" / "results")
    for file in ("Makefile", "setup.cfg"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def shell_of(page: Path, root: Path) -> Shell:
    """Where a page's commands are run; the files that its json blocks are have been written."""
    bundle = (
        root / page.parent.parent.relative_to(ROOT) if page.parts[-2] == "docs" and page.name == "README.md" else None
    )
    for block in blocks(page):
        if block.caption:
            ((bundle or root / "bundles" / BUNDLE) / block.caption).write_text(block.text)
    return Shell(root, bundle or root)


# examples


def run_examples(page: Path, folder: Path, capsys) -> dict:
    """The names that the page's blocks leave; text right below a block is what the block prints."""
    names: dict = {}
    every = blocks(page)
    for block, following in zip(every, [*every[1:], None], strict=True):
        if block.kind != "python":
            continue
        capsys.readouterr()
        exec(compile("\n" * (block.first + 1) + block.text, str(page), "exec"), names)
        if following and following.kind == "text" and following.first <= block.last + 2:
            assert capsys.readouterr().out.strip() == following.text.strip(), f"{page}:{following.first + 1}"
    return names


@pytest.mark.slow
@pytest.mark.parametrize("page", with_kind("python"), ids=name_of)
def test_examples_run(page, few_patients, tmp_path, monkeypatch, capsys):
    (tmp_path / "phantom").symlink_to(few_patients)
    monkeypatch.chdir(tmp_path)
    names = run_examples(page, tmp_path, capsys)
    if page == README:
        weight = names["encoder"].network.conv_0.conv_0.conv.weight
        assert weight.grad is not None and weight.grad.abs().max() > 0
        assert names["loss"].strategy == "gd"


@pytest.mark.parametrize("name", bundle_names())
def test_the_readmes_tables_have_every_bundle(name):
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert any(f"`{name}`" in row for row in rows)


def test_the_readmes_example_is_short():
    (example,) = (block for block in blocks(README) if block.kind == "python")
    assert len(example.text.splitlines()) <= 24


@pytest.mark.parametrize("page", with_kind("json"), ids=name_of)
def test_overlays_build_what_they_say(page, tmp_path):
    configs = ROOT / "bundles" / BUNDLE / "configs"
    for block in blocks(page):
        if block.kind != "json":
            continue
        overlay = json.loads(block.text)
        if "+initialize" in overlay:
            path = tmp_path / "overlay.json"
            path.write_text(block.text)
            parser = ConfigParser(ConfigParser.load_config_files([configs / "pretrain_global.json", path]))
            assert parser["initialize"][-1:] == overlay["+initialize"] and len(parser["initialize"]) == 2
            continue
        parser = ConfigParser()
        parser.read_config([configs / "pretrain_global.json"])
        parser.update(overlay)
        if "network_def" in overlay:
            method = parser.get_parsed_content("method")
            assert method.stages.network(torch.zeros(1, 1, 96, 96)).shape == (1, 4, 96, 96)
        else:
            patients = [patient for part in ("train", "validation", "test") for patient in overlay["split"][part]]
            parser.update({"cases": [{"image": f"{patient}.nii.gz", "patient": patient} for patient in patients]})
            split = parser.get_parsed_content("split")
            assert {part: [case["patient"] for case in split[part]] for part in ("train", "validation", "test")} == {
                part: overlay["split"][part] for part in ("train", "validation", "test")
            }


# commands


@pytest.mark.parametrize("page", with_kind("shell"), ids=name_of)
def test_commands_name_what_exists(page, root):
    shell = shell_of(page, root)
    for command in commands(page):
        shell.check(command)


@pytest.mark.parametrize("command", [
    "python -m monai.bundle run --config_file configs/no_such_file.json",
    "python -m monai.bundle run --config_file configs/train.json --learning_rat 0.1",
    "python -m monai.bundle run --config_file configs/train.json --cases#labels DIR",
    "torchrun --nproc_per_nodes=2 -m monai.bundle run --config_file configs/train.json",
    "torchrun --nproc_per_node=2 train.py",
    "python -m monai_cl_ext phantom --output phantom --volumes 3",
    "python -m monai_cl_ext phantom",
    "python -m monai_cl_ext rapport eval",
    "python -m monai_cl_ext bundle copy gcl_segmentation --output COPY --overlay no_such_overlay",
    "python -m monai_cl_ext bundle move gcl_segmentation",
    "python ../../benchmarks/gcl_study.py --dataset DIR --no_such_option 1",
    "python ../../benchmarks/no_such_script.py",
    "python -m monai_cl_ext new_method gcl",
    "python -m pytest configs",
    "pip install .[reports]",
    "pip install monai",
    "make tset",
    "make test PIP_ARGUMENTS=1",
    "cd no_such_folder",
    "curl URL",
    "make test | tee log",
])  # fmt: skip
def test_a_wrong_command_is_found(command, root):
    with pytest.raises(WrongCommand):
        Shell(root, root / "bundles" / BUNDLE).check(command)


def test_a_block_that_nobody_checks_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n\n```yaml\na: 1\n```\n")
    with pytest.raises(ValueError, match="which no test checks"):
        blocks(page)
    page.write_text("text\n\n    make test \\\n        X=1  # why\n\n- item\n\n    its text\n\n```\ncd a\n```\n")
    assert commands(page) == ["make test X=1", "cd a"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_and_files_named_in_passing_exist(page):
    configs = [path for path in (ROOT / "bundles").glob("*/configs/*.json") if path.name != "metadata.json"]
    configs += sorted(shared_overlay("mixup").parent.glob("*.json"))
    captions = {block.caption for block in blocks(page) if block.caption}
    named = set(re.findall(r"configs/\w+\.json", page.read_text())) - captions
    assert not named - {f"configs/{path.name}" for path in configs}
    stages = [ConfigParser(ConfigParser.load_config_file(path)) for path in configs]
    commands = [*vars(Commands).values(), *vars(StudyCommands).values(), *vars(BundleCommands).values()]
    own = {name for command in commands if callable(command) for name in inspect.signature(command).parameters}
    for code in inline(page):
        if code.startswith("--"):
            _, options = parsed(code.split(maxsplit=1))
            for option in options.keys() - own - RUN_ARGUMENTS - {"help"}:
                assert any(is_setting(stage, option) for stage in stages), f"{page}: --{option}"


def test_the_messages_in_the_table_of_errors_are_the_packages():
    sources = [ast.parse(path.read_text()) for path in (ROOT / "monai_cl_ext").rglob("*.py")]
    texts = [node.value for tree in sources for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    spoken = [text for text in texts if isinstance(text, str)]
    table = OWN_DATA.read_text().split("## Errors")[1]
    messages = re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)
    assert len(messages) > 15
    for message in messages:
        for part in message.split("…"):
            assert any(part.strip() in text for text in spoken), message


# the first run


def files_promised(block: Block) -> list[str]:
    """Globs of the files in a drawn tree; what stands deeper than one level describes."""
    globs, folder = [], ""
    for line in block.text.splitlines():
        depth, name = len(line) - len(line.lstrip()), re.split(r"\s{2,}", line.strip())[0]
        if depth == 0:
            folder = name
        elif depth == 2:
            globs += [folder + re.sub(r"<\w+>", "*", part).rstrip("/") for part in name.split(", ")]
    return globs


def run_small(command: BundleRun) -> None:
    stages = [Path(file).stem for file in command.configs]
    parser = ConfigParser()
    parser.read_config([command.folder / file for file in command.configs])
    small = {**SMALL, "batch_size": 4} if "train" in stages else SMALL
    small = {name: value for name, value in small.items() if name in parser}
    run(command.folder, stages, "infer" if "inference" in stages else "train", **{**command.settings, **small})


@pytest.fixture
def any_algorithm():
    """Whatever algorithms a page asks for are those of its test alone."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_the_first_run_leaves_what_the_page_says(root, monkeypatch, any_algorithm):
    shell = shell_of(START, root)
    for command in commands(START):
        if not command.startswith(("pip ", "make ")):
            shell.check(command)
    done: list[list[str]] = []
    for command in shell.checked:
        monkeypatch.chdir(command.folder)
        if isinstance(command, BundleRun) and command.configs not in done:
            run_small(command)
            done.append(command.configs)
        elif isinstance(command, Call) and command.command == "phantom":
            Commands().phantom(**{**command.arguments, "patients": 9})
        elif isinstance(command, Call) and command.command == "report":
            Commands().report(**command.arguments)
    assert len(done) == 6
    (tree,) = (block for block in blocks(START) if block.text.startswith("models/"))
    bundle = root / "bundles" / BUNDLE
    for promised in files_promised(tree):
        assert list(bundle.glob(promised)), promised
    left = {path.name for folder in ("models", "eval") for path in (bundle / folder).iterdir()}
    known = {Path(promised).name for promised in files_promised(tree)}
    assert {name for name in left if not name.startswith(("events.", "patient", "resume_"))} <= known
