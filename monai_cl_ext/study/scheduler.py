# SPDX-License-Identifier: Apache-2.0
"""Runs the cells of a study, several at once; what is done is not run again, what fails does not stop the others."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from monai_cl_ext.study.task import Task, is_done, root_cause, run_task, write_task

POLL_SECONDS = 1.0


class Job(Protocol):
    """What a launcher gives back: a future of concurrent.futures, or a job of submitit."""

    def done(self) -> bool:
        """Whether it has ended."""

    def result(self) -> Any:
        """Raises what made it fail."""


Launch = Callable[[Path], Job]


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


def run_cells(tasks: Sequence[Task], root: Path, launch: Launch, at_once: int) -> None:
    """Runs every cell that is not done as soon as those that it needs are.

    Args:
        tasks: cells of the study.
        root: folder of the study, which is held by :func:`alone`.
        launch: starts the cell of a folder.
        at_once: so many cells are under way at a time.

    Raises:
        StudyFailed: in the end, when a cell failed; names it and its log.
        ValueError: at the start, when a folder is damaged.
    """
    folders = {task.name: write_task(task, root) for task in tasks}
    done = {task.name for task in tasks if is_done(folders[task.name])}
    waiting = [task for task in tasks if task.name not in done]
    running: dict[str, Job] = {}
    failed: dict[str, str] = {}
    with tqdm(total=len(tasks), initial=len(done), unit="cell", desc=root.name) as bar:
        while waiting or running:
            for task in [task for task in waiting if any(need in failed for need in task.needs)]:
                waiting.remove(task)
                failed[task.name] = "not run, since it needs one that failed"
            ready = [task for task in waiting if done.issuperset(task.needs)]
            for task in ready[: at_once - len(running)]:
                waiting.remove(task)
                running[task.name] = launch(folders[task.name])
            for name in [name for name, job in running.items() if job.done()]:
                problem = _problem(running.pop(name), folders[name])
                if problem:
                    failed[name] = problem
                    bar.write(f"FAILED {name}: {problem}")
                else:
                    done.add(name)
                    bar.update()
            time.sleep(POLL_SECONDS if running else 0)
    if failed:
        lines = "\n".join(f"  {name}: {problem}" for name, problem in failed.items())
        raise StudyFailed(f"{len(failed)} of {len(tasks)} cells failed; the same command runs them again:\n{lines}")


def _problem(job: Job, folder: Path) -> str:
    try:
        job.result()
        return "" if is_done(folder) else f"ended without finishing, see {folder / 'log.txt'}"
    except Exception as error:
        return root_cause(error)


def local_launcher(workers: int) -> Launch:
    """Runs each cell in a process of its own on this machine; on GPUs in turn, if there are some."""
    pool = ThreadPoolExecutor(workers)
    threads = max(1, (os.cpu_count() or 1) // workers)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    devices = visible.split(",")
    slots: queue.Queue[str] = queue.Queue()
    for slot in range(workers):
        slots.put(devices[slot % len(devices)])

    def run(folder: Path) -> None:
        device = slots.get()
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        if len(devices) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = device
        log = folder / "log.txt"
        try:
            with log.open("a", encoding="utf-8") as file:
                command = [sys.executable, "-m", "monai_cl_ext.study.task", str(folder)]
                status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
        finally:
            slots.put(device)
        if status:
            raise RuntimeError(f"{last_line(log)} (status {status}, see {log})")

    return lambda folder: pool.submit(run, folder)


def slurm_launcher(root: Path, cluster: str = "slurm", **parameters: Any) -> Launch:
    """Submits each cell to Slurm, through submitit.

    Args:
        root: of the study; the jobs' scripts and output go to its folder slurm.
        cluster: as submitit names it; "local" runs the jobs as processes of this machine.
        parameters: of ``submitit.AutoExecutor.update_parameters``, such as timeout_min, slurm_partition, gpus_per_node.
    """
    try:
        import submitit
    except ImportError as error:
        raise ImportError(f"the slurm launcher needs submitit ({error}); pip install monai-cl-ext[slurm]") from error
    executor = submitit.AutoExecutor(folder=root / "slurm", cluster=cluster)
    executor.update_parameters(**{"name": root.name, **parameters})
    return lambda folder: executor.submit(run_task, folder)


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
