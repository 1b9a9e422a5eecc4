# SPDX-License-Identifier: Apache-2.0
"""Checks a command line of a page without running it: programs, files and options have to exist."""

from __future__ import annotations

import argparse
import ast
import configparser
import inspect
import pydoc
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import monai.bundle
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from torch.distributed.run import get_args_parser

from monai_cl_ext.cli import GROUPS, Commands
from monai_cl_ext.packing.commands import BundleCommands

SHELL_SYNTAX = {"|", "||", "&", "&&", ";", ">", ">>", "<"}
RUN_ARGUMENTS = set(inspect.signature(monai.bundle.run).parameters) - {"override"}


class WrongCommand(AssertionError):
    """A page shows a command that does not work."""


@dataclass(frozen=True)
class BundleRun:
    """``python -m monai.bundle run``: the folder in which it runs, its config files and its settings."""

    folder: Path
    configs: list[str]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Call:
    """``python -m monai_cl_ext``: the command and its arguments by name."""

    folder: Path
    command: str
    arguments: dict[str, Any]


@dataclass
class Shell:
    """Follows the commands of a page.

    Args:
        root: the repository, or what a test made of it.
        folder: where the page's first command is run.
    """

    root: Path
    folder: Path
    checked: list[BundleRun | Call] = field(default_factory=list)

    def check(self, line: str) -> None:
        """Raises WrongCommand where the command would not work, or is of a kind that nobody checks."""
        try:
            self._check(shlex.split(line))
        except (AssertionError, OSError, TypeError, ValueError, SystemExit) as error:
            raise WrongCommand(f"{line}\n{type(error).__name__}: {error}") from error

    def _check(self, words: list[str]) -> None:
        require(not SHELL_SYNTAX & set(words), "one command a line, without pipes and redirections")
        kinds: dict[tuple[str, ...], Callable[[list[str]], None]] = {
            ("python", "-m", "monai.bundle", "run"): self.bundle_run,
            ("python", "-m", "monai.bundle", "download"): self.download,
            ("python", "-m", "monai_cl_ext"): self.call,
            ("python", "-m", "zipfile", "-c"): lambda rest: require(len(rest) == 2, "expected an archive and a folder"),
            ("python", "-m", "pytest"): self.pytest,
            ("monai-cl",): self.call,
            ("torchrun",): self.torchrun,
            ("tensorboard", "--logdir"): lambda rest: require(len(rest) == 1, "expected one folder"),
            ("pip", "install"): self.pip_install,
            ("make",): self.make,
            ("cd",): self.change_folder,
        }
        for start, check in kinds.items():
            if tuple(words[: len(start)]) == start:
                return check(words[len(start) :])
        if words[0] == "python" and words[1].endswith(".py"):
            return self.script(words[1], words[2:])
        raise WrongCommand("no test knows this kind of command; teach tests/docs/commands.py to check it")

    def bundle_run(self, words: list[str]) -> None:
        """Config files exist, and every option is an id in them."""
        positional, options = parsed(words)
        require(not positional, f"unexpected {positional}")
        files = options.pop("config_file")
        run = BundleRun(self.folder, [files] if isinstance(files, str) else list(files), options)
        parser = ConfigParser()
        for file in run.configs:
            require((self.folder / file).is_file(), f"{file} does not exist in {self.folder}")
        parser.read_config([self.folder / file for file in run.configs])
        tracking = DEFAULT_MLFLOW_SETTINGS["configs"].keys() if "tracking" in options else set()
        for name in options.keys() - RUN_ARGUMENTS - tracking:
            require(is_setting(parser, name), f"--{name} is no id in {run.configs}")
        self.checked.append(run)

    def download(self, words: list[str]) -> None:
        """MONAI's command takes the arguments."""
        positional, options = parsed(words)
        inspect.signature(monai.bundle.download).bind(*positional, **options)

    def torchrun(self, words: list[str]) -> None:
        """Torch knows the options, and what it launches is a bundle's run."""
        options = get_args_parser().parse_args(words)
        require(options.module and options.training_script == "monai.bundle", "expected -m monai.bundle")
        require(options.training_script_args[0] == "run", "expected run")
        checked = list(self.checked)
        self.bundle_run(options.training_script_args[1:])
        self.checked = checked  # nobody runs it

    def call(self, words: list[str]) -> None:
        """The command line has the command, and it takes the arguments; configs that it is given exist."""
        group: object = Commands()
        if words[0] in GROUPS:
            group, words = getattr(group, words[0])(), words[1:]
        command = words[0].replace("-", "_")
        method = getattr(group, command, None)
        require(method is not None, f"there is no command {words[0]}")
        positional, options = parsed(words[1:])
        arguments = inspect.signature(method).bind(*positional, **options).arguments
        for name, value in arguments.items():
            if name != "output" and str(value).endswith((".json", ".yaml", ".yml")):
                require((self.folder / value).is_file(), f"{value} does not exist in {self.folder}")
        self.checked.append(Call(self.folder, command, dict(arguments)))
        if isinstance(group, BundleCommands) and command == "copy":  # the page goes on in the copy
            group.copy(**{**arguments, "output": str(self.folder / arguments["output"])})
        if isinstance(group, Commands) and command == "new_method":  # likewise in the new bundle
            group.new_method(**{**arguments, "output": str(self.folder / arguments.get("output", ""))})

    def pytest(self, words: list[str]) -> None:
        """The folder or file has tests."""
        (place,) = (self.folder / word for word in words)
        require(place.is_file() or any(place.glob("test_*.py")), f"{place} has no tests")

    def script(self, path: str, words: list[str]) -> None:
        """The script exists and its parser takes the options; nothing after the parsing is run."""
        file = self.folder / path
        require(file.is_file() and ".parse_args()" in file.read_text(), f"{path}: no script that parses its options")
        parse = argparse.ArgumentParser.parse_args

        def parse_and_stop(parser: argparse.ArgumentParser, *args: Any) -> None:
            parse(parser, *args)
            raise KeyboardInterrupt

        patches = (
            mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
            mock.patch.object(sys, "argv", [path, *words]),
            mock.patch.object(sys, "path", [str(file.parent), *sys.path]),  # as Python does for a script
        )
        with patches[0], patches[1], patches[2]:
            try:
                runpy.run_path(str(file), run_name="__main__")
            except KeyboardInterrupt:
                return
        raise WrongCommand(f"{path} parsed no options")

    def pip_install(self, words: list[str]) -> None:
        """This package, with extras that setup.cfg has."""
        settings = configparser.ConfigParser()
        settings.read(self.root / "setup.cfg")
        (requirement,) = words
        found = re.fullmatch(r"\.(?:\[(.+)\])?", requirement)
        require(found is not None, f"expected . or .[extras], found {requirement}")
        extras = set(found[1].split(",")) if found and found[1] else set()
        require(extras <= set(settings["options.extras_require"]), f"setup.cfg lacks one of the extras {extras}")

    def make(self, words: list[str]) -> None:
        """The Makefile has the targets and the variables."""
        text = (self.root / "Makefile").read_text()
        for word in words:
            name, equals, _ = word.partition("=")
            pattern = rf"^{name} *\?=" if equals else rf"^{name}:"
            require(re.search(pattern, text, re.MULTILINE) is not None, f"the Makefile has no {name}")

    def change_folder(self, words: list[str]) -> None:
        """The folder exists."""
        self.folder = (self.folder / words[0]).resolve()
        require(self.folder.is_dir(), f"{words[0]} is no folder")


def require(condition: bool, message: str) -> None:
    """Raises WrongCommand with the message unless the condition holds."""
    if not condition:
        raise WrongCommand(message)


def parsed(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Positional arguments and options, with values as fire reads them."""
    positional, options = [], {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--"):
            positional.append(DefaultParseValue(word))
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "True"
        options[name] = DefaultParseValue(value)
    if isinstance(options.get("config_file"), str) and options["config_file"].startswith("["):
        options["config_file"] = ast.literal_eval(options["config_file"])
    return positional, options


def is_setting(parser: ConfigParser, name: str) -> bool:
    """Whether an option sets something: an id of the config, or an argument of one of its components."""
    if name in parser:
        return True
    component, _, argument = name.rpartition("#")
    if not component or component not in parser or "_target_" not in parser[component]:
        return False
    return argument in inspect.signature(pydoc.locate(parser[component]["_target_"])).parameters
