# SPDX-License-Identifier: Apache-2.0
"""Starts the cell of a folder: as a process of this machine, or as a job of Slurm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from monai_cl_ext.cores import usable_cores
from monai_cl_ext.extras import need
from monai_cl_ext.slurm import NODE_STORE
from monai_cl_ext.study.layout import LOG
from monai_cl_ext.study.task import ATTENDED, run_task


class Job(Protocol):
    """A cell that was started: a process, a job of submitit, or a future of concurrent.futures."""

    def done(self) -> bool:
        """Whether it has ended."""

    def result(self) -> Any:
        """Raises what made it fail."""

    def cancel(self) -> Any:
        """Ends it, if it still runs."""


Launch = Callable[[Path], Job]


class CellProcess:
    """A cell in a process of its own, which ends with this one, however this one ends.

    The cell reads from a pipe whose other end this process holds: it is closed when this process is killed, and then
    the cell ends itself and whatever it has started.

    Args:
        folder: of the cell; its log receives what the cell prints.
        environment: of the process.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / LOG
        command = [sys.executable, "-m", "monai_cl_ext.study.task", str(folder), ATTENDED]
        with self.log.open("a", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def done(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def result(self) -> None:
        """Raises RuntimeError with the last line of the log when the cell has failed."""
        status = self.process.wait()
        if status:
            raise RuntimeError(f"{last_line(self.log)} (status {status}, see {self.log})")

    def cancel(self) -> None:
        """Kills the cell and what it has started; its last saved state stays."""
        if not self.done():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def local_launcher(workers: int) -> Launch:
    """Runs each cell in a process of its own on this machine; on GPUs in turn, if there are some.

    Args:
        workers: cells at once, which share the cores and the GPUs.
    """
    threads = max(1, usable_cores() // workers)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    devices = visible.split(",")
    slots: list[CellProcess | None] = [None] * workers

    def launch(folder: Path) -> CellProcess:
        free = next(number for number, cell in enumerate(slots) if cell is None or cell.done())
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        if len(devices) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = devices[free % len(devices)]
        cell = CellProcess(folder, environment)
        slots[free] = cell
        return cell

    return launch


def slurm_launcher(root: Path, cluster: str = "slurm", **parameters: Any) -> Launch:
    """Submits each cell to Slurm, through submitit; it prepares volumes into a store of its node.

    Args:
        root: of the study; the jobs' scripts and output go to its folder slurm.
        cluster: as submitit names it; "local" runs the jobs as processes of this machine.
        parameters: of ``submitit.AutoExecutor.update_parameters``, such as timeout_min, slurm_partition, gpus_per_node.
    """
    need("the slurm launcher", "slurm", "submitit")
    import submitit

    executor = submitit.AutoExecutor(folder=root / "slurm", cluster=cluster)
    setup = [NODE_STORE, *parameters.pop("slurm_setup", [])]
    executor.update_parameters(**{"name": root.name, "slurm_setup": setup, **parameters})
    return lambda folder: executor.submit(run_task, folder)


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
