# SPDX-License-Identifier: Apache-2.0
"""A page's curves are those of its run, whatever the clock said while it ran."""

import contextlib
import json
import time

import pytest
from ignite.engine import Events
from monai.handlers import TensorBoardStatsHandler
from test_run_record import Whole, trainer

from monai_cl_ext.handlers import Resume, RunRecord
from monai_cl_ext.visualize import draw_curves, find_runs

DAY = 86400.0


class Clock:
    """The system's clock, which somebody sets."""

    def __init__(self) -> None:
        self.real, self.shift = time.time, 0.0

    def __call__(self) -> float:
        return self.real() + self.shift


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


class Stopped(Exception):
    """Somebody stopped a run."""


class StopAfter:
    """Stops a run when it has logged an epoch, before its state is kept."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.epoch), self)

    def __call__(self):
        raise Stopped


def logger(folder, value=0):
    """Logs ``value`` + the epoch."""

    def write(engine, writer):
        writer.add_scalar("x", value + engine.state.epoch, engine.state.epoch)

    return TensorBoardStatsHandler(log_dir=str(folder), iteration_log=False, epoch_event_writer=write)


def train(folder, value, epochs, stage="train", resume=False, stop=0, set_clock=None, closed=True):
    """A run that logs; it opens its file before its record is made, as a bundle does."""
    writer, method = logger(folder, value), Whole()
    keep = Resume({"method": method}, str(folder / f"resume_{stage}"), resume)
    stops = [StopAfter(stop)] if stop else []
    run = trainer(folder, writer, RunRecord(folder, stage, {"seed": 0}), *stops, keep, method=method, epochs=epochs)
    if set_clock:
        run.add_event_handler(Events.EPOCH_STARTED(once=2), set_clock)
    with contextlib.suppress(Stopped):
        run.run()
    if closed:
        writer.close()
    return writer


def curve(folder, stage=None):
    (found,) = find_runs(folder)
    return found.curves(stage).get("x", [])


@pytest.mark.parametrize("days", [-1, 0, 1])
@pytest.mark.parametrize("closed", [True, False])
def test_an_earlier_run_of_the_folder_does_not_count(days, closed, clock, tmp_path):
    first = train(tmp_path, 100, 3, closed=closed)
    clock.shift = days * DAY
    train(tmp_path, 200, 2)
    first.close()
    assert curve(tmp_path) == [(1, 201), (2, 202)]
    train(tmp_path, 300, 1)
    assert curve(tmp_path) == [(1, 301)]


def test_the_clock_set_back_within_a_run_hides_nothing(clock, tmp_path):
    train(tmp_path, 100, 3, set_clock=lambda: setattr(clock, "shift", -DAY))
    assert curve(tmp_path) == [(1, 101), (2, 102), (3, 103)]


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_a_resumed_run_keeps_its_curves_and_what_it_logged_last(days, clock, tmp_path):
    train(tmp_path, 900, 5)
    clock.shift = days * DAY / 2
    train(tmp_path, 100, 4, stop=3)
    clock.shift = days * DAY
    train(tmp_path, 200, 4, resume=True, stop=4)
    clock.shift = 2 * days * DAY
    train(tmp_path, 300, 4, resume=True)
    assert curve(tmp_path) == [(1, 101), (2, 102), (3, 203), (4, 304)]


def test_stages_in_one_folder_have_curves_of_their_own(clock, tmp_path):
    train(tmp_path, 100, 2, "pretrain")
    clock.shift = -DAY
    train(tmp_path, 200, 3, "train")
    assert curve(tmp_path, "pretrain") == [(1, 101), (2, 102)]
    assert curve(tmp_path, "train") == [(1, 201), (2, 202), (3, 203)]
    drawn = draw_curves(find_runs(tmp_path))
    assert {stage: len(drawings) for stage, drawings in drawn.items()} == {"train": 1, "pretrain": 1}


def test_files_without_a_record_and_runs_without_files_have_no_curves(clock, tmp_path):
    train(tmp_path, 100, 3)
    (tmp_path / "run_train.json").unlink()
    clock.shift = -DAY
    trainer(tmp_path, RunRecord(tmp_path, "train"), epochs=1).run()
    assert json.loads((tmp_path / "run_train.json").read_text())["event_files"] == [] and curve(tmp_path) == []
    train(tmp_path, 200, 2)
    assert curve(tmp_path) == [(1, 201), (2, 202)]


def test_a_file_that_something_logged_to_before_the_run_is_the_run_s(tmp_path):
    writer = logger(tmp_path)
    writer._writer.add_text("settings", "all of them")
    writer._writer.flush()
    trainer(tmp_path, writer, RunRecord(tmp_path, "train"), epochs=2).run()
    writer.close()
    assert curve(tmp_path) == [(1, 1), (2, 2)]


def test_rounds_of_one_trainer_are_one_run(tmp_path):
    writer = logger(tmp_path)
    run = trainer(tmp_path, writer, RunRecord(tmp_path, "train"), epochs=1)
    run.run()
    run.state.max_epochs = 2
    run.run()
    writer.close()
    assert curve(tmp_path) == [(1, 1), (2, 2)]
