# SPDX-License-Identifier: Apache-2.0
"""Runs the cells of a study in the process of a test."""

from concurrent.futures import Future
from pathlib import Path

from monai_cl_ext.study.task import run_task


def here(folder: Path) -> Future:
    """A launcher that runs a cell in this process."""
    job: Future = Future()
    try:
        job.set_result(run_task(folder))
    except Exception as error:
        job.set_exception(error)
    return job
