# SPDX-License-Identifier: Apache-2.0
"""Runs a few short cells in processes that share their imports, under one bar of training steps."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from monai_cl_ext.cores import usable_cores
from monai_cl_ext.study.layout import LOG
from monai_cl_ext.study.scheduler import Steps, run_cells
from monai_cl_ext.study.task import Task, is_done, run_task, write_task


def run_in_pool(tasks: Sequence[Task], root: Path, workers: int = 2) -> None:
    """Runs every cell that is not done, as ``scheduler.run_cells``; what the cells print goes to the study's log.

    A launcher's cells take long and pay for imports of their own; these are forked from one process that made them.

    Args:
        tasks: cells of the study, whose settings name ``epochs`` and ``batches_per_epoch``.
        root: folder of the study, which is held by ``scheduler.alone``.
        workers: cells at a time, which share the cores.

    Raises:
        StudyFailed: in the end, when a cell failed.
    """
    waiting = [task for task in tasks if not is_done(write_task(task, root))]
    total = sum(task.runs[0].settings["epochs"] * task.runs[0].settings["batches_per_epoch"] for task in waiting)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "monai.engines", "monai_cl_ext.methods", "monai_cl_ext.handlers"])
    made = context.Value("i", 0)
    with ProcessPoolExecutor(workers, context, _begin, (made, max(1, usable_cores() // workers), root / LOG)) as pool:
        steps = Steps(total, lambda: int(made.value))
        run_cells(tasks, root, lambda folder: pool.submit(_run, folder), workers, steps)


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
    """Prepares a process of the pool, which ends with the one that made it, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _COUNTER.made = made
    torch.set_num_threads(threads)
    with log.open("a", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _run(folder: Path) -> None:
    run_task(folder, handler=_COUNTER)
