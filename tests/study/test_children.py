# SPDX-License-Identifier: Apache-2.0
"""Cells end with the study that started them, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from plain_bundle import write_plain_bundle

from monai_cl_ext.study.bundles import Bundle

STUDY = """
import sys
from pathlib import Path
from monai_cl_ext.study.launchers import local_launcher
from monai_cl_ext.study.scheduler import run_cells
from monai_cl_ext.study.task import Run, Task

root = Path(sys.argv[1])
cells = [Task(name, str(root / "plain"), [], [Run(["train"])]) for name in ("a", "b")]
run_cells(cells, root / "study", local_launcher(2), 2)
"""
SLOW = {
    "imports": ["$import os", "$import subprocess", "$import time"],
    "bundle_root": ".",
    "run": [
        "$subprocess.Popen(['sleep', '300'])",
        "$open(@bundle_root + '/pid', 'w').write(str(os.getpid()))",
        "$time.sleep(300)",
    ],
}


@pytest.fixture
def running(tmp_path):
    """A study of two cells that would take five minutes, each with a child of its own; and their processes."""
    bundle = Bundle(write_plain_bundle(tmp_path))
    bundle.path("train").write_text(json.dumps(SLOW))
    study = subprocess.Popen(
        [sys.executable, "-c", STUDY, str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell starts background jobs without it
    )
    cells: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while len(cells) < 4 and time.monotonic() < deadline:
        time.sleep(0.2)
        cells = [
            process
            for path in (tmp_path / "study").glob("*/pid")
            if (pid := path.read_text())
            for process in [psutil.Process(int(pid)), *psutil.Process(int(pid)).children()]
        ]
    assert len(cells) == 4, study.communicate(timeout=1)
    yield study, cells, tmp_path / "study"
    for process in [*cells, psutil.Process(study.pid)] if study.poll() is None else cells:
        if process.is_running():
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_nothing_computes_on_after_the_study(running, kind):
    study, cells, root = running
    os.kill(study.pid, kind)
    began = time.monotonic()
    study.communicate(timeout=20)
    gone, alive = psutil.wait_procs(cells, timeout=10)
    assert not alive and time.monotonic() - began < 15
    assert study.returncode and not list(Path(root).glob("*/done"))


POOL = """
import sys
from pathlib import Path
from monai_cl_ext.study.pool import run_in_pool
from monai_cl_ext.study.task import Run, Task

if __name__ == "__main__":
    root = Path(sys.argv[1])
    settings = {"epochs": 1, "batches_per_epoch": 1}
    cells = [Task(name, str(root / "plain"), [], [Run(["train"], settings)]) for name in ("a", "b")]
    (root / "study").mkdir()
    run_in_pool(cells, root / "study")
"""
ASLEEP = {**SLOW, "epochs": 1, "batches_per_epoch": 1, "run": SLOW["run"][1:]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_waits_on_after_a_pool(kind, tmp_path):
    bundle = Bundle(write_plain_bundle(tmp_path))
    bundle.path("train").write_text(json.dumps(ASLEEP))
    (tmp_path / "pool.py").write_text(POOL)
    study = subprocess.Popen([sys.executable, str(tmp_path / "pool.py"), str(tmp_path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "study").glob("*/pid"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    children = psutil.Process(study.pid).children(recursive=True)
    assert len(children) >= 3  # the server of forks, and two workers
    os.kill(study.pid, kind)
    study.wait(timeout=20)
    _, alive = psutil.wait_procs(children, timeout=15)
    for process in alive:
        process.kill()
    assert not alive
