# SPDX-License-Identifier: Apache-2.0
"""Runs the cells of a study, several at once; what is done is not run again, what fails does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from monai_cl_ext.errors import root_cause
from monai_cl_ext.study.launchers import Job, Launch
from monai_cl_ext.study.layout import LOG
from monai_cl_ext.study.task import Task, is_done, write_task

POLL_SECONDS = 0.5


class StudyFailed(ChildProcessError):
    """Some cells failed; the others are done."""


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Holds the folder of a study against other processes.

    Raises:
        ValueError: when another process holds it.
    """
    try:
        lock = FileLock(root / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"{root} is being run by another process; wait for it, or give another output") from error
    with lock:
        yield


@dataclass(frozen=True)
class Steps:
    """What a bar shows in place of finished cells.

    Attributes:
        total: training steps of all cells that are not done.
        made: how many of them were made so far.
    """

    total: int
    made: Callable[[], int]


def run_cells(tasks: Sequence[Task], root: Path, launch: Launch, at_once: int, steps: Steps | None = None) -> None:
    """Runs every cell that is not done as soon as those that it needs are.

    Args:
        tasks: cells of the study.
        root: folder of the study, which is held by :func:`alone`.
        launch: starts the cell of a folder.
        at_once: so many cells are under way at a time.
        steps: what the bar shows; by default finished cells.

    Raises:
        StudyFailed: in the end, when a cell failed or its folder is damaged; names it and what to do.
    """
    done, failed = _standing(tasks, root)
    waiting = [task for task in tasks if task.name not in done and task.name not in failed]
    running: dict[str, Job] = {}
    if steps is None:
        bar = tqdm(total=len(tasks), initial=len(done), unit="cell", desc=root.name)
    else:
        bar = tqdm(total=steps.total, unit="step", leave=False)
    with bar:
        for name, problem in failed.items():
            bar.write(f"FAILED {name}: {problem}")
        try:
            while waiting or running:
                for task in [task for task in waiting if any(need in failed for need in task.needs)]:
                    waiting.remove(task)
                    failed[task.name] = "not run, since it needs one that failed"
                ready = [task for task in waiting if done.issuperset(task.needs)]
                for task in ready[: at_once - len(running)]:
                    waiting.remove(task)
                    running[task.name] = launch(root / task.name)
                for name in [name for name, job in running.items() if job.done()]:
                    problem = _problem(running.pop(name), root / name)
                    if problem:
                        failed[name] = problem
                        bar.write(f"FAILED {name}: {problem}")
                    else:
                        done.add(name)
                if made := (len(done) if steps is None else steps.made()) - bar.n:
                    bar.update(made)  # an update by 0 would print the bar anew, into a log each time
                time.sleep(POLL_SECONDS if running else 0)
        finally:
            for job in running.values():
                job.cancel()
    if failed:
        lines = "\n".join(f"  {name}: {problem}" for name, problem in failed.items())
        raise StudyFailed(f"{len(failed)} of {len(tasks)} cells failed; the same command runs them again:\n{lines}")


def _standing(tasks: Sequence[Task], root: Path) -> tuple[set[str], dict[str, str]]:
    """Names of the cells that are done, and the problem of each whose folder is damaged."""
    done, damaged = set(), {}
    for task in tasks:
        try:
            done |= {task.name} if is_done(write_task(task, root)) else set()
        except ValueError as error:
            damaged[task.name] = str(error)
    return done, damaged


def _problem(job: Job, folder: Path) -> str:
    try:
        job.result()
        return "" if is_done(folder) else f"ended without finishing, see {folder / LOG}"
    except Exception as error:
        return root_cause(error)
