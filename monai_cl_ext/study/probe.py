# SPDX-License-Identifier: Apache-2.0
"""Times some steps of each kind of cell, to tell how long a study will take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from monai_cl_ext.study.bundles import Bundle
from monai_cl_ext.study.handover import handed_over
from monai_cl_ext.study.own_code import own_code
from monai_cl_ext.study.task import Task

STEPS = 6


def expected_seconds(tasks: Sequence[Task]) -> dict[str, float]:
    """Seconds of each cell by its name; of cells that differ in their data and their seed alone one is timed."""
    timed: dict[str, float] = {}
    seconds = {}
    for task in tasks:
        seconds[task.name] = 0.0
        for single in _trainings(task):
            run = single.runs[0]
            schedule = {name: value for name, value in run.settings.items() if name != "seed"}
            kind = str((task.bundle, task.overlays, run.stages, schedule))
            if kind not in timed:
                timed[kind] = _probe(single)
            seconds[task.name] += timed[kind]
    return seconds


def _trainings(task: Task) -> list[Task]:
    """The cell, or of a training in several stages a cell for each, the last one with what follows."""
    count = sum(run.stage in Bundle(Path(task.bundle)).train_stages for run in task.runs) or 1
    earlier = [replace(task, runs=[run], scored=[]) for run in task.runs[: count - 1]]
    return [*earlier, replace(task, runs=task.runs[count - 1 :])]


def _probe(task: Task) -> float:
    """Start, steps and validations of the first run; predictions are reckoned as a validation of as many volumes.

    Of a method that warms up the steps behind its warm-up are timed, which are most of them and take longer.
    """
    begin = time.perf_counter()
    run = task.runs[0]
    copy = Bundle(Path(task.bundle), tuple(task.overlays)).copy
    with tempfile.TemporaryDirectory() as folder, own_code(Path(folder) / "bundle"):
        bundle = copy(Path(folder) / "bundle")
        files = [str(bundle.path(name)) for name in bundle.configs(*run.stages)]
        written = {f"model_{stage}": "" for stage in bundle.train_stages}
        untrained = {name: "" for name in run.data if name == "pretrained"} | bundle.known(run.stages, written)
        data = {**run.data, **untrained, "bundle_root": str(bundle.folder)}
        values, lists = handed_over(data, Path(folder) / "data.json")
        (Path(folder) / "data.json").write_text(lists, encoding="utf-8")
        settings = {**run.settings, **values, **bundle.known(run.stages, {"warm_up_steps": 0})}
        workflow = ConfigWorkflow(files, logging_file=False, workflow_type=None, **settings)
        workflow.initialize()
        trainer = workflow.parser.get_parsed_content("train#trainer")
        steps, epochs = trainer.state.epoch_length, trainer.state.max_epochs
        clock = [time.perf_counter() - begin]
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: clock.append(time.perf_counter()))
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=min(STEPS, steps)), lambda engine: engine.terminate())
        trainer.run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # our trainers do not wait for the device
            clock[-1] = time.perf_counter()
        step = (clock[-1] - clock[1]) / max(len(clock) - 2, 1)
        held_out = len(workflow.parser.get_parsed_content("validate#dataset"))
        begin = time.perf_counter()
        if held_out:  # MONAI would warn of an empty loader
            workflow.parser.get_parsed_content("validate#evaluator").run()
        validation = time.perf_counter() - begin
        interval = workflow.parser.get("val_interval", 1)
        volumes = len(task.scored) / max(held_out, 1)
    inferences = len(task.runs) - 1
    return clock[0] + epochs * steps * step + (epochs // interval + inferences * volumes) * validation
