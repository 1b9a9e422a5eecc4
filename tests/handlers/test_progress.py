# SPDX-License-Identifier: Apache-2.0
"""A run tells how far it is: by one bar on a terminal, by lines elsewhere, by nothing in the other processes."""

import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from workflows import SMALL, copy_bundle

from monai_cl_ext.data import write_phantom
from monai_cl_ext.handlers import Progress
from monai_cl_ext.progress import progress_bar

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"(.+): (\d+) of (\d+) steps, ([\d:]+) passed, ([\d:]+) to go")


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def screen(monkeypatch, terminal: bool) -> Screen:
    """What takes the place of standard error; to be called in a test, since pytest sets its own before each phase."""
    made = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", made)
    return made


def engine_with(progress: Progress, step=lambda: time.sleep(0.02)) -> Engine:
    engine = Engine(lambda engine, batch: step())
    progress.attach(engine)
    return engine


def test_elsewhere_a_line_now_and_then_tells_the_time_to_go(monkeypatch):
    pipe = screen(monkeypatch, terminal=False)
    engine_with(Progress("pretrain", seconds=0.2)).run(range(10), max_epochs=5)
    lines = [LINE.fullmatch(line) for line in pipe.getvalue().splitlines()]
    assert 2 <= len(lines) <= 10 and all(lines)  # a second or more, at five lines a second
    assert re.fullmatch(r"pretrain, epoch \d of 5", lines[0][1]) and lines[0][3] == "50"
    steps = [int(line[2]) for line in lines]
    assert steps == sorted(steps) and 1 < steps[0] < 50


def test_a_short_run_prints_no_line(monkeypatch):
    pipe = screen(monkeypatch, terminal=False)
    engine_with(Progress("pretrain")).run(range(3), max_epochs=2)
    assert pipe.getvalue() == ""


def test_a_terminal_has_one_bar_for_all_epochs_which_vanishes(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)
    engine_with(Progress("pretrain")).run(range(10), max_epochs=5)
    text = terminal.getvalue()
    assert re.search(r"pretrain, epoch 3 of 5: +\d+%.*\d+/50 \[\d\d:\d\d<\d\d:\d\d", text)
    assert "\n" not in text and text.rsplit("\r", 2)[-2].strip() == ""


def test_a_resumed_run_begins_where_it_goes_on(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)
    engine = engine_with(Progress("train"))
    engine.load_state_dict({"epoch_length": 10, "max_epochs": 5, "iteration": 30})
    engine.run(range(10), max_epochs=5)
    assert "30/50" in terminal.getvalue() and " 0/50" not in terminal.getvalue()


def test_two_runs_of_an_engine_have_a_bar_each(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)
    engine = engine_with(Progress("evaluate"))
    for _ in range(2):
        engine.run(range(4))
    assert terminal.getvalue().count("| 0/4") == 2 and "epoch" not in terminal.getvalue()


def test_a_run_of_one_step_shows_nothing(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)
    engine_with(Progress("inference")).run(range(1))
    assert terminal.getvalue() == ""


def test_an_exception_ends_the_bar_and_is_raised(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)

    def fail():
        raise RuntimeError("broken file")

    progress = Progress("train")
    with pytest.raises(RuntimeError, match="broken file"):
        engine_with(progress, fail).run(range(3))
    assert progress.bar is None and terminal.getvalue().rsplit("\r", 2)[-2].strip() == ""


def test_logs_go_above_the_bar_and_loggers_are_left_as_they_were(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)
    logger = logging.getLogger("test_progress")
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
    try:
        engine_with(Progress("train"), lambda: logger.warning("a line of the log")).run(range(3))
        assert logger.handlers == [handler]
    finally:
        logger.removeHandler(handler)
    text = terminal.getvalue()
    assert text.count("\ra line of the log\n") == 3  # each at the beginning of a line, where the bar was cleared
    assert re.search(r"\r +\ra line of the log\n", text)


def test_other_processes_show_nothing(monkeypatch):
    terminal = screen(monkeypatch, terminal=True)
    monkeypatch.setattr("monai_cl_ext.handlers.progress.rank", lambda: 1)
    engine_with(Progress("train")).run(range(5), max_epochs=2)
    assert terminal.getvalue() == ""


def test_items_are_counted_and_given_through(monkeypatch):
    pipe = screen(monkeypatch, terminal=False)
    assert list(progress_bar([3, 1, 2], "volumes", unit="volume")) == [3, 1, 2] and pipe.getvalue() == ""
    for _ in progress_bar(range(8), "Volumes", unit="volume", seconds=0.05):
        time.sleep(0.02)
    assert re.match(r"Volumes: \d of 8 volumes, 00:00 passed, 00:00 to go\n", pipe.getvalue())


@pytest.mark.gpu
def test_nothing_waits_for_the_device(monkeypatch):
    screen(monkeypatch, terminal=True)
    a = torch.ones(8, device="cuda")
    engine = engine_with(Progress("train"), lambda: a.add_(1))
    torch.cuda.set_sync_debug_mode("error")
    try:
        engine.run(range(10), max_epochs=2)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    """Two epochs of four steps of a bundle's pre-training, validated, by MONAI's own command."""
    folder = tmp_path_factory.mktemp("run")
    data = write_phantom(folder / "phantom", patients=8, seed=0)
    root = copy_bundle("simclr_segmentation", folder)
    settings = {**SMALL, "batches_per_epoch": 4, "batch_size": 4, "dataset_dir": str(data), "bundle_root": str(root)}
    config = root / "configs" / "pretrain.json"
    arguments = root / "arguments.json"
    arguments.write_text(json.dumps({"config_file": str(config), **settings}))
    return [sys.executable, "-m", "monai.bundle", "run", "--args_file", str(arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


def on_a_terminal(command: list[str]) -> str:
    """What a command shows on a terminal of 40 lines of 110 characters."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment())
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux's way of telling that the other end was closed
        pass
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    assert process.wait() == 0, text
    return text


@pytest.mark.slow
def test_a_bundle_run_on_a_terminal(command):
    text = on_a_terminal(command)
    assert re.search(r"\rpretrain, epoch 2 of 2: +\d+%.*?\d/8 \[\d\d:\d\d<\d\d:\d\d", text) and "to go" not in text
    losses = [line.rsplit("\r", 1)[-1] for line in text.splitlines() if "train_loss: " in line]
    assert len(losses) == 8 and all(re.match(r"20\d\d-", line) for line in losses)  # the bar is not in their lines
    shown = text.split("\r")
    assert not any("%|" in part and part.endswith("\n") for part in shown)  # nor is a state of it left behind


@pytest.mark.slow
def test_a_bundle_run_in_a_pipe(command):
    often = [*command, "--train#handlers#6#seconds", "0.01"]
    done = subprocess.run(often, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train_loss: ") == 8 and "\r" not in done.stdout + done.stderr
    lines = [line for line in map(LINE.search, done.stderr.splitlines()) if line]
    assert 4 <= len(lines) <= 8 and lines[-1][1].startswith("pretrain, epoch 2 of 2") and lines[-1][3] == "8"
