# SPDX-License-Identifier: Apache-2.0
"""Runs a few short cells in processes that share their imports, under one bar of training steps."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_cl_ext.study.layout import LOG
from monai_cl_ext.study.scheduler import POLL_SECONDS
from monai_cl_ext.study.task import Task, is_done, run_task, write_task


def run_in_pool(tasks: Sequence[Task], root: Path, workers: int = 2) -> None:
    """Runs every cell that is not done, so many at a time; what they print goes to the log of the study.

    ``scheduler.run_cells`` is for cells that take long: each pays for its imports, and none stops the others.

    Args:
        tasks: cells of the study, whose settings name ``epochs`` and ``batches_per_epoch``.
        root: folder of the study.
        workers: cells at a time, which share the cores.

    Raises:
        Exception: what made a cell fail; the cells that are under way are finished before.
    """
    folders = {task.name: write_task(task, root) for task in tasks}
    done = {name for name, folder in folders.items() if is_done(folder)}
    waiting = [task for task in tasks if task.name not in done]
    total = sum(task.runs[0].settings["epochs"] * task.runs[0].settings["batches_per_epoch"] for task in waiting)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "monai.engines", "monai_cl_ext.methods", "monai_cl_ext.handlers"])
    made = context.Value("i", 0)
    arguments = (made, max(1, (os.cpu_count() or 1) // workers), root / LOG)
    with (
        ProcessPoolExecutor(workers, context, _begin, arguments) as pool,
        tqdm(total=total, unit="step", leave=False) as bar,
    ):
        running: dict[str, Future[None]] = {}
        while waiting or running:
            for task in [task for task in waiting if done.issuperset(task.needs)]:
                waiting.remove(task)
                running[task.name] = pool.submit(_run, folders[task.name])
            for name in [name for name, job in running.items() if job.done()]:
                running.pop(name).result()
                done.add(name)
            bar.update(made.value - bar.n)
            time.sleep(POLL_SECONDS)


class _StepCounter:
    """Counts the training steps of all processes."""

    made: Any

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def _count(self) -> None:
        with self.made.get_lock():
            self.made.value += 1


_COUNTER = _StepCounter()  # of this process


def _begin(made: Any, threads: int, log: Path) -> None:
    """Prepares a process of the pool."""
    _COUNTER.made = made
    torch.set_num_threads(threads)
    with log.open("a", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def _run(folder: Path) -> None:
    run_task(folder, progress=_COUNTER)
