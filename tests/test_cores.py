# SPDX-License-Identifier: Apache-2.0
"""The processes of a machine share the cores that the system grants, and read with few threads each."""

import pytest

import monai_cl_ext.cores as cores


@pytest.mark.parametrize("granted, processes, threads", [
    (6, None, 6), (64, None, 8), (16, 8, 2), (64, 2, 8), (4, 8, 1),
])  # fmt: skip
def test_threads_that_read(granted, processes, threads, monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: set(range(granted)), raising=False)
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 128)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))  # as torchrun does
    assert cores.threads_that_read() == threads
